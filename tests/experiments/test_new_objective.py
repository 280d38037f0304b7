"""What a reader is told about a new objective: one file, one gin line; training and the contract find it."""

import importlib
import os
import pathlib
import pkgutil
import shutil
import subprocess
import sys

import cli
import pytest

from prismlab import objectives
from prismlab.core import code_fingerprint
from prismlab.experiments import main
from prismlab.experiments.kit import objective_case, objective_contract

# The two blocks that WORKSPACE.md shows: what a reader would paste is what is tested.
PAGE = (cli.REPOSITORY / "WORKSPACE.md").read_text()
SECTION = PAGE[PAGE.index("## Add an objective") :]
OBJECTIVE = SECTION.split("```python\n")[1].split("```")[0]
LINE = SECTION.split("```gin\n")[1].split("```")[0]
BEFORE = "stage1/recipe.Stage.objectives = {'contrastive': @contrastive.Contrastive}\n"


NAME = "prismlab.objectives.unit_length"
# Three of the contract's tests: enough to see that they found the new class.
SOME = "UnitLength and (documented or stable or finite)"


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Return a folder that is part of the package of objectives, with the new file."""
    place = tmp_path / "objectives"
    place.mkdir()
    (place / "unit_length.py").write_text(OBJECTIVE)
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(place)])
    importlib.invalidate_caches()
    code_fingerprint.forget()
    yield place
    sys.modules.pop(NAME, None)
    vars(objectives).pop("unit_length", None)
    code_fingerprint.forget()


def _recipe(folder: pathlib.Path) -> pathlib.Path:
    """Write the recipe of one stage with the page's line."""
    text = pathlib.Path(cli.QUICK).read_text(encoding="utf-8")
    text = text.replace(
        "from prismlab.objectives import masked\n",
        "from prismlab.objectives import masked\nfrom prismlab.objectives import unit_length\n",
    )
    (folder / "mine.gin").write_text(text.replace(BEFORE, LINE))
    return folder / "mine.gin"


def _trained(workdir: pathlib.Path) -> None:
    (log,) = workdir.glob("stages/stage1-*/events.jsonl")
    assert '"loss/unit"' in log.read_text()
    assert '"unit/length"' in log.read_text()


def test_a_file_and_a_line_are_enough_to_train(added, tmp_path):
    words = [str(_recipe(tmp_path)), cli.ONE_STAGE, "STEPS=2", "--workdir", str(tmp_path / "w")]
    assert main.main(["train", *words]) == 0
    _trained(tmp_path / "w")


def test_the_file_is_found_and_keeps_the_contract(added):
    assert NAME in {each.name for each in pkgutil.walk_packages(objectives.__path__, "prismlab.objectives.")}
    (kind,) = objective_contract.found(importlib.import_module(NAME))
    contract, case = objective_contract.ObjectiveContract(), objective_case.build(kind)
    contract.test_it_is_documented(case)
    contract.test_views_are_hashable_and_stable(case)
    contract.test_loss_and_metrics_are_finite_float32_scalars(case)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> pathlib.Path:
    """Return a copy of the repository with one new file under objectives/."""
    place = tmp_path_factory.mktemp("copy")
    for room in ("core", "data", "objectives", "experiments", "tests"):
        shutil.copytree(
            cli.REPOSITORY / room, place / room, ignore=shutil.ignore_patterns("__pycache__", "*-table.json")
        )
    shutil.copytree(cli.REPOSITORY / "prismlab", place / "prismlab", symlinks=True)
    for name in ("pyproject.toml", "WORKSPACE.md"):
        shutil.copy(cli.REPOSITORY / name, place)
    (place / "objectives" / "unit_length.py").write_text(OBJECTIVE)
    return place


@pytest.mark.slow
def test_it_trains(copy, tmp_path):
    file = _recipe(tmp_path)
    env = cli.environment(PYTHONPATH=os.pathsep.join([str(copy), str(copy / "tests")]))
    done = cli.run("train", file, cli.ONE_STAGE, "STEPS=2", "--workdir", tmp_path / "w", env=env, cwd=copy)
    assert done.returncode == 0, done.stderr
    _trained(tmp_path / "w")


@pytest.mark.slow
def test_the_contract_finds_it_by_itself(copy):
    contract = copy / "tests" / "objectives" / "test_contract.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rA",
        str(contract),
        "-k",
        SOME,
    ]
    done = subprocess.run(
        command, cwd=copy, env=cli.environment(PYTHONPATH=str(copy)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UnitLength" in done.stdout
