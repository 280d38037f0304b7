"""What a reader is told about a new objective: one file, one gin line; training and the contract find it."""

import pathlib
import shutil
import subprocess
import sys

import pytest
import runs

OBJECTIVE = '''"""Pull the pooled clips of a batch towards unit length.

Source: invented for this test.
"""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from core import metrics, objective, types


class UnitLength(objective.AbstractObjective):
    """Squared distance of each clip's length from one.

    Args:
        weight: factor of this loss in the sum.
        dims: sizes of the towers.
        key: unused, nothing here is random.
    """

    weight: float

    def __init__(self, weight: float = 1.0, *, dims: types.Dims, key: PRNGKeyArray):
        del dims, key
        self.weight = weight

    def views(self) -> frozenset[objective.View]:
        """Return the intact clip."""
        return frozenset({objective.View("video")})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss and the mean length."""
        del key
        pooled = seen[objective.View("video")].pooled
        assert pooled is not None
        length = jnp.sqrt(jnp.sum(jnp.square(pooled), axis=-1) + 1e-6)
        loss = metrics.Mean.of(jnp.square(length - 1.0), batch.weight)
        return loss, {"length": metrics.Mean.of(length, batch.weight)}
'''
BEFORE = "stage1/recipe.Stage.objectives = {'contrastive': @contrastive.Contrastive}\n"
LINE = (
    "stage1/recipe.Stage.objectives = "
    "{'contrastive': @contrastive.Contrastive, 'unit': @unit_length.UnitLength}\n"
)


# Three of the contract's tests: enough to see that they found the new class.
SOME = "UnitLength and (documented or stable or finite)"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> pathlib.Path:
    """Return a copy of the repository with one new file under objectives/."""
    place = tmp_path_factory.mktemp("copy")
    for room in ("core", "data", "objectives", "experiments", "tests"):
        shutil.copytree(
            runs.REPOSITORY / room, place / room, ignore=shutil.ignore_patterns("__pycache__", "records")
        )
    shutil.copy(runs.REPOSITORY / "pyproject.toml", place)
    (place / "objectives" / "unit_length.py").write_text(OBJECTIVE)
    return place


def test_it_trains(copy, tmp_path):
    text = (copy / "tests/experiments/tiny.gin").read_text()
    text = text.replace(
        "from objectives import masked\n",
        "from objectives import masked\nfrom objectives import unit_length\n",
    )
    file = copy / "mine.gin"
    file.write_text(text.replace(BEFORE, LINE))
    env = runs.environment(PYTHONPATH=str(copy))
    done = runs.run("train", file, "STEPS=2", "--workdir", tmp_path / "w", env=env, cwd=copy)
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "w").glob("stages/stage1-*/events.jsonl")
    assert '"loss/unit"' in log.read_text()
    assert '"unit/length"' in log.read_text()


def test_the_contract_finds_it_by_itself(copy):
    contract = copy / "tests" / "objectives" / "test_contract.py"
    if not contract.exists():
        pytest.skip("tests/objectives/test_contract.py is not there")
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
        command, cwd=copy, env=runs.environment(PYTHONPATH=str(copy)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "UnitLength" in done.stdout
