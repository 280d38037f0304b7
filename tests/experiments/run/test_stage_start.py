"""The start of a stage is checked on the hosts that train it."""

import dataclasses
import functools

import cli
import pytest

from prismlab.core import errors
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine
from prismlab.objectives import sigmoid


@pytest.mark.parametrize("steps", [0, 4])
def test_a_unit_whose_objective_cannot_learn_from_its_batches_is_refused(steps, tmp_path):
    first = strict.load(cli.QUICK).root.stages[0]
    short = functools.partial(sigmoid.Sigmoid, queue=first.batch_size - 1)
    stage = dataclasses.replace(first, objectives={"sigmoid": short}, steps=steps)
    (planned,) = stages.plan(recipe.Experiment("x", (stage,)), 0)
    runner = engine.Engine(tmp_path, cli.CACHE, console.silent())
    if not steps:
        runner.train(planned)
        return
    with pytest.raises(errors.UserError, match="is shorter than the batch of"):
        runner.train(planned)
