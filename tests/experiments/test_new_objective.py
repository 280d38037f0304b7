"""What a reader is told about a new objective: one file, one gin line; training and the contract find it."""

import os
import pathlib
import shutil
import subprocess
import sys

import cli
import pytest

# The two blocks that WORKSPACE.md shows: what a reader would paste is what is tested.
PAGE = (cli.REPOSITORY / "WORKSPACE.md").read_text()
SECTION = PAGE[PAGE.index("## Add an objective") :]
OBJECTIVE = SECTION.split("```python\n")[1].split("```")[0]
LINE = SECTION.split("```gin\n")[1].split("```")[0]
BEFORE = "stage1/recipe.Stage.objectives = {'contrastive': @contrastive.Contrastive}\n"


# Three of the contract's tests: enough to see that they found the new class.
SOME = "UnitLength and (documented or stable or finite)"


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


def test_it_trains(copy, tmp_path):
    text = (copy / "tests/experiments/quick.gin").read_text()
    text = text.replace(
        "from prismlab.objectives import masked\n",
        "from prismlab.objectives import masked\nfrom prismlab.objectives import unit_length\n",
    )
    file = copy / "mine.gin"
    file.write_text(text.replace(BEFORE, LINE))
    env = cli.environment(PYTHONPATH=os.pathsep.join([str(copy), str(copy / "tests")]))
    done = cli.run("train", file, cli.ONE_STAGE, "STEPS=2", "--workdir", tmp_path / "w", env=env, cwd=copy)
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "w").glob("stages/stage1-*/events.jsonl")
    assert '"loss/unit"' in log.read_text()
    assert '"unit/length"' in log.read_text()


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
