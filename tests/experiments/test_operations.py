"""What a run counts of its own step is what `prismlab plan` counts."""

import cli

from core import watch
from experiments import engine, operations, strict
from experiments.plan import abstract, choices, estimate


def test_a_run_counts_as_the_plan_does_and_only_where_a_peak_is_published(monkeypatch):
    experiment = strict.load(cli.TINY).root
    stage2 = engine.plan(experiment, 0)[1]
    assert operations.of_step(stage2) is None  # a CPU
    monkeypatch.setattr(watch, "peak_of", lambda device: 1e12)
    monkeypatch.setattr(choices, "REMATS", ("none",))  # the others take as long each
    wanted = estimate.fewest(stage2.stage, abstract.learners(experiment), stage2.stage.batch_size)
    assert operations.of_step(stage2) == sum(wanted.values()) > 0
