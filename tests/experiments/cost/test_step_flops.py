"""What a run counts of its own step is what `prismlab plan` counts, where that is affine in the clips."""

import cli
import pytest

from prismlab.core.events import telemetry
from prismlab.experiments.cost import abstract_step, estimate, step_flops, variants
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import stages


def test_a_run_counts_as_the_plan_does_and_only_where_a_peak_is_published(monkeypatch):
    experiment = strict.load(cli.QUICK).root
    stage2 = stages.plan(experiment, 0)[1]
    assert step_flops.of_step(stage2) is None  # a CPU
    monkeypatch.setattr(telemetry, "peak_of", lambda device: 1e12)
    for name in ("REMATS", "NOTHING_TWICE"):  # the others take as long each
        monkeypatch.setattr(variants, name, ("none",))
    wanted = estimate.fewest(stage2.stage, abstract_step.learners(experiment), stage2.stage.batch_size)
    assert step_flops.of_step(stage2) == sum(wanted.values()) > 0


@pytest.mark.long
@pytest.mark.parametrize("place", [0, 1])
def test_the_policies_that_are_left_out_never_need_the_fewest_products(place, monkeypatch):
    experiment = max(strict.load("smoke.gin").root.experiments().values(), key=lambda row: len(row.stages))
    stage = experiment.stages[place]
    built = abstract_step.learners(experiment)
    counts = {
        sum(estimate.measured(stage, remat, built, stage.batch_size).products.values())
        for remat in variants.REMATS
    }
    assert len(counts) > 1
    found = estimate.fewest_of_batch(stage, built, stage.batch_size)
    monkeypatch.setattr(variants, "NOTHING_TWICE", variants.REMATS)
    assert estimate.fewest_of_batch(stage, built, stage.batch_size) == found
