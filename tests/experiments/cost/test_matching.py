"""Compute-matched stages: steps from the FLOPs of another stage."""

import dataclasses

import cli
import pytest

from prismlab.experiments.cost import abstract_step, estimate, matching
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(1000, marks=pytest.mark.slow),
        pytest.param(1001, marks=pytest.mark.long),
        pytest.param(1002, marks=pytest.mark.slow),
    ],
)
def test_steps_have_the_flops_of_the_other_stage(steps):
    base = strict.load(cli.QUICK).root
    first, second = base.stages
    second = dataclasses.replace(second, steps=steps)
    base = dataclasses.replace(base, stages=(first, second))
    rows = {"one": {}, "matched": {"stages": ("stage1",), "stage1.steps": matching.Flops("stage2")}}
    found = recipe.Ablation("x", base, rows)
    (match,) = found.matches()["matched"]
    built = abstract_step.learners(base)
    own, theirs = (
        sum(estimate.measured(stage, "none", built, stage.batch_size).products.values())
        for stage in (first, second)
    )
    assert own != theirs
    assert match.target == steps * theirs
    assert match.cost == match.steps * own
    assert match.steps == found.experiments()["matched"].stages[0].steps
    assert abs(match.cost - match.target) <= own / 2
    assert match.mismatch == pytest.approx(match.cost / match.target - 1)


@pytest.mark.long
@pytest.mark.parametrize("recipe_file", ["quickstart.gin", "reproduce_small.gin"])
def test_compute_matched_rows_of_shipped_recipes_cost_no_less_than_stage_2(recipe_file):
    base = strict.load(recipe_file).root.base
    stages = {stage.name: stage for stage in base.stages}
    own, theirs = (
        matching.of_step(stages[name], stages) * stages[name].steps for name in ("continued", "stage2")
    )
    assert theirs <= own < 1.01 * theirs
