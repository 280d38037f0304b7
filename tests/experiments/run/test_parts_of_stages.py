"""A stage that starts from parts of several stages: what it takes, what it trains, what is refused."""

import dataclasses
import functools

import cli
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.preview import explain
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import store

QUICK = strict.load(cli.QUICK, [*cli.LONG]).root
FROZEN = ("towers/video/projection",)


@pytest.fixture
def trained(whole):
    """Return path -> array of the two stages of the quick recipe, and their folders."""
    folders = [next(whole.glob(f"stages/{name}-*")) for name in ("stage1", "stage2")]
    return folders, [checkpoint.read_learner(folder / "checkpoints")[1] for folder in folders]


def lit(init_from, **fields) -> recipe.Experiment:
    stage = dataclasses.replace(QUICK.stages[0], name="lit", init_from=init_from, frozen=FROZEN, **fields)
    return recipe.Experiment("x", (stage,))


def train(experiment: recipe.Experiment, workdir) -> dict[str, np.ndarray]:
    runner = engine.Engine(workdir, cli.CACHE, console.make_console())
    (planned,) = stages.plan(experiment, 0, runner.prints)
    runner.train(planned)
    return checkpoint.read_learner(workdir / "stages" / planned.folder / "checkpoints")[1]


@pytest.mark.long
def test_each_part_comes_from_its_parent_and_the_frozen_one_stays(trained, tmp_path):
    (first, second), (one, two) = trained
    entries = {"towers": str(first), "towers/video/projection": str(second), "objectives": str(first)}
    begun = train(lit(entries, steps=0), tmp_path / "begun")
    ended = train(lit(entries, steps=2), tmp_path / "ended")
    assert begun.keys() == ended.keys()
    inside = {name for name in begun if name.startswith("towers/video/projection")}
    for name, array in begun.items():
        np.testing.assert_array_equal(array, (two if name in inside else one)[name], err_msg=name)
    assert any(not np.array_equal(one[name], two[name]) for name in inside)
    moved = {name for name, array in begun.items() if not np.array_equal(array, ended[name])}
    assert not moved & inside
    assert {"/".join(name.split("/")[:3]) for name in moved} >= {
        "towers/video/table",
        "towers/text/token_table",
    }


def test_a_folder_without_the_part_is_refused_before_training(trained, tmp_path):
    (first, second), _ = trained
    with pytest.raises(errors.UserError, match=r"init_from\['towers/text'\]: .* has no towers/text/"):
        train(lit({"towers/video": str(first), "towers/text": str(second)}), tmp_path)


def test_the_reason_to_run_names_the_part_that_changed(trained, tmp_path):
    (first, second), _ = trained
    told = functools.partial(explain.text, kept=store.of(tmp_path))
    train(lit({"towers": str(first)}, steps=0), tmp_path)
    changed = lit({"towers": str(first), "towers/video/projection": str(second)}, steps=0)
    assert told(stages.lines({"row": changed}, [0]))[0] == (
        "lit (seed 0): runs; other init_from['towers/video/projection']"
    )
