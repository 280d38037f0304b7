"""A stage whose encoder is a moving average hands that on, and not the trained towers."""

import dataclasses
import functools

import cli
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.nn import transformer_stack
from prismlab.core.train import masking
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.recipe.checks import check
from prismlab.experiments.run import engine
from prismlab.objectives import latent

BASE = strict.load(cli.QUICK).root.stages[1]
DECODER = functools.partial(transformer_stack.Stack, 1, 8, 2, 8, remat="none")
LATENT = functools.partial(latent.LatentPrediction, mask=masking.Tube(0.5), decoder=DECODER, decay=0.5)
FIRST = dataclasses.replace(
    BASE, name="first", objectives={"latent": LATENT}, init_from=None, teacher=None, encoder="latent"
)


def _after(name, objective):
    return dataclasses.replace(
        FIRST, name=name, objectives={objective: LATENT}, steps=0, init_from="first", encoder=objective
    )


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param("latent", marks=pytest.mark.slow), "another"])
def test_towers_and_initial_weights_are_read_from_the_average(name, tmp_path):
    chain = (FIRST, _after("next", name))
    planned = stages.plan(recipe.Experiment("x", chain), 0)
    runner = engine.Engine(tmp_path, cli.CACHE, console.make_console())
    arrays = []
    for each in planned:
        runner.train(each)
        arrays.append(checkpoint.read_learner(tmp_path / "stages" / each.folder / "checkpoints")[1])
    trained, average = (
        "towers/video/projection/kernel",
        "objectives/{}/average/towers/video/projection/kernel",
    )
    mean = arrays[0][average.format("latent")]
    assert not np.array_equal(mean, arrays[0][trained])
    np.testing.assert_array_equal(runner.towers(planned[0])["video"].projection.kernel, mean)
    np.testing.assert_array_equal(arrays[1][trained], mean)
    np.testing.assert_array_equal(arrays[1][average.format(name)], mean)


def test_an_encoder_that_no_objective_has_is_refused_before_training():
    for encoder, objectives in (("average", {"latent": LATENT}), ("local", BASE.objectives)):
        stage = dataclasses.replace(BASE, encoder=encoder, objectives=objectives, init_from=None)
        stage = dataclasses.replace(stage, teacher=None if encoder == "average" else "first")
        with pytest.raises(errors.UserError, match=f"encoder='{encoder}' names no objective with a moving"):
            check.abstract_stages(recipe.Experiment("x", (FIRST, dataclasses.replace(stage, name="s"))))
