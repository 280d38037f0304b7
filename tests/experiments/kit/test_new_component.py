"""`prismlab new`: files in the user's package that keep the contract and can be named in a table."""

import importlib.metadata
import shlex
import subprocess
import sys

import cli
import pytest

from prismlab.core import errors
from prismlab.experiments import main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.kit import new_component, plugin

pytest_plugins = ["pytester"]
# An installed prismlab brings the plugin by itself; pytest asks each distribution, also one found twice.
INSTALLED = any(
    (each.group, each.value) == ("pytest11", plugin.__name__)
    for distribution in importlib.metadata.distributions()
    for each in distribution.entry_points
)
PLUGIN = () if INSTALLED else ("-p", plugin.__name__)
PAGE = (cli.REPOSITORY / "WORKSPACE.md").read_text(encoding="utf-8")
# The block of commands that WORKSPACE.md shows, without its first line, which sets the path.
WALK = PAGE[PAGE.index("## Write a component") :].split("```sh\n")[1].split("```")[0].splitlines()[1:]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Return the folder of a package that is on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "minelab"
    for name in [name for name in sys.modules if name.partition(".")[0] == "minelab"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", new_component.KINDS)
def test_each_kind_is_a_row_of_a_table_at_once(kind, lab, capsys):
    assert main.main(["new", kind, "soft_margin", "--package", str(lab)]) == 0
    printed = capsys.readouterr().out.replace("\n", "")
    names = ("__init__.py", "soft_margin.py", "test_soft_margin.py", "soft_margin.gin")
    assert sorted(path.name for path in lab.iterdir()) == sorted(names)
    assert "prismlab ablate" in printed
    assert "PYTHONPATH" not in printed
    root = strict.load(str(lab / "soft_margin.gin")).root
    assert len(root.rows) == 2
    assert "SoftMargin" in repr(root)


@pytest.mark.parametrize(
    "kind",
    [pytest.param("objective", marks=pytest.mark.long), pytest.param("mask", marks=pytest.mark.slow)],
)
def test_its_contract_is_green(kind, lab, pytester):
    new_component.write(kind, "soft_margin", lab)
    ran = pytester.inline_run(lab / "test_soft_margin.py", *PLUGIN, "-p", "no:cacheprovider")
    passed, skipped, failed = ran.listoutcomes()
    assert (skipped, failed) == ([], [])
    assert len(passed) > 4


@pytest.mark.parametrize(
    ("name", "folder", "told"),
    [
        ("Soft-Margin", "minelab", "'Soft-Margin' is no name of a module; expected lower-case letters"),
        ("class", "minelab", "is no name of a module"),
        ("2nd", "minelab", "is no name of a module"),
        ("taken", "minelab", r"taken\.py exists already; choose another name"),
        ("fine", "my-lab", "folder 'my-lab' cannot be a package of yours; rename it"),
        ("fine", "notes", "is no package, it has no __init__.py; give --package"),
        ("fine", "minelab/taken.py", "is a file; give --package"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(name, folder, told, tmp_path, capsys):
    (tmp_path / "minelab").mkdir()
    (tmp_path / "minelab" / "__init__.py").touch()
    (tmp_path / "minelab" / "taken.py").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(errors.UserError, match=told):
        new_component.write("mask", name, tmp_path / folder)
    assert main.main(["new", "mask", name, "--package", str(tmp_path / folder)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_package_that_is_not_on_the_path_is_told_how(tmp_path, capsys):
    assert main.main(["new", "mask", "soft", "--package", str(tmp_path / "farlab" / "inner")]) == 0
    told = capsys.readouterr().out.replace("\n", "")
    assert "inner is not on the path of Python yet: export PYTHONPATH=" in told
    line = plugin.not_on_the_path("No module named 'farlab'", tmp_path / "tests" / "test_x.py")
    assert line is not None
    assert f"package farlab is not on the path of Python; set PYTHONPATH={tmp_path}" in line
    assert plugin.not_on_the_path("No module named 'absent_one'", tmp_path / "test_x.py") is None


MASKS = "from prismlab.experiments.kit import mask_contract\n"
BAD_TESTS = {
    "nothing": (
        f"import json\n{MASKS}KINDS = mask_contract.found(json)\n",
        "json holds no component to test: expected a frozen dataclass",
    ),
    "empty": (
        f"{MASKS}class TestIt(mask_contract.MaskContract):\n    pass\n",
        "TestIt tests nothing: its `kinds` is empty",
    ),
}


@pytest.mark.parametrize("case", BAD_TESTS)
def test_a_test_that_finds_no_component_fails_in_one_line(case, pytester):
    text, told = BAD_TESTS[case]
    pytester.makepyfile(**{f"test_{case}": text})
    ran = pytester.inline_run(*PLUGIN, "-p", "no:cacheprovider")
    (failed,) = [each for each in ran.getreports("pytest_collectreport") if each.failed]
    assert told in str(failed.longrepr)
    assert len(str(failed.longrepr).splitlines()) == 1


@pytest.mark.slow
def test_from_an_empty_folder_to_a_row_of_a_table(tmp_path):
    """The walk of WORKSPACE.md, each command in a process of its own."""
    env = cli.environment(PYTHONPATH=f"{cli.REPOSITORY}:{tmp_path}")
    for line in WALK:
        program, *words = shlex.split(line)
        command = [sys.executable, "-m", program, *(PLUGIN if program == "pytest" else ()), *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert "my_objective" in (tmp_path / "runs/lab/report.md").read_text(encoding="utf-8")


def test_the_walk_has_all_kinds_and_ends_in_a_table():
    """Its commands are run one by one by the slow test; its files are those of the other tests here."""
    words = [shlex.split(line) for line in WALK]
    assert [each[2] for each in words if each[1] == "new"] == list(new_component.KINDS)
    assert [each[:2] for each in words[-1:]] == [["prismlab", "ablate"]]
