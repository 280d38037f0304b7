"""Compute-matched stages: steps from the FLOPs of another stage."""

import dataclasses

import cli
import pytest

from prismlab.experiments.cost import abstract_step, estimate, matching
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe


def test_steps_have_the_flops_of_the_other_stage():
    base = strict.load(cli.QUICK).root
    first, second = (dataclasses.replace(stage, steps=1000) for stage in base.stages)
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
    assert match.target == 1000 * theirs
    assert match.steps == found.experiments()["matched"].stages[0].steps == round(1000 * theirs / own)
    assert match.cost == match.steps * own
    assert abs(match.mismatch) <= 0.5 * own / match.target
    assert match.mismatch == pytest.approx(match.cost / match.target - 1)
