"""The recipes for one and eight GPUs follow the rule and the plan that their headers state."""

import functools
import math
import pathlib
import re

import pytest

from prismlab.core import trees
from prismlab.experiments.cost import abstract_step
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.plan import choices, stage_plan, topology
from prismlab.experiments.recipe.checks import shapes

FOLDER = pathlib.Path(strict.__file__).parents[1] / "gin"
FILES = {"videoprism_small_1gpu.gin": 1, "videoprism_base_8gpu.gin": 8}
PAPER = "videoprism_base.gin"
# machine, then GiB, seconds, limit and MFU of both stages, then days
LINE = re.compile(
    r"^#   (gpu:\S+)" + r" +([\d.]+) +([\d.]+)  (\w+) +([\d.]+) \|" * 2 + r" +([\d.]+)$", re.MULTILINE
)


@functools.cache
def stages(name):
    return {stage.name: stage for stage in strict.load(name).root.stages}


def shown(name):
    return {found[0]: found[1:] for found in LINE.findall((FOLDER / name).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", FILES)
def test_batch_rates_and_steps_follow_the_rule(name):
    for stage in stages(name).values():
        paper = stages(PAPER)[stage.name]
        factor = math.sqrt(stage.batch_size / paper.batch_size)
        own, theirs = stage.optimizer.schedule, paper.optimizer.schedule
        assert stage.steps == paper.steps
        assert own.warmup_steps == theirs.warmup_steps
        assert own.decay == theirs.decay
        assert own.peak == pytest.approx(factor * theirs.peak)
        assert own.end == pytest.approx(factor * theirs.end)
        assert set(stage.data.sources) == {"internvid", "ytt", "wts"}
        assert {home: paper.data.weights[home] for home in stage.data.sources} == stage.data.weights


def test_the_small_encoder_has_the_stated_parameters():
    built = shapes.abstract_learner(stages("videoprism_small_1gpu.gin")["stage1"], {})
    assert round(trees.count(built.towers["video"].encoder) / 1e6, 1) == 14.7


@pytest.mark.parametrize("name", FILES)
def test_the_header_shows_every_gpu(name):
    count = FILES[name]
    assert list(shown(name)) == [f"gpu:{each}" + f"x{count}" * (count > 1) for each in topology.GPUS]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_header_shows_the_plan(name):
    root = strict.load(name).root
    options = stage_plan.Options(name, (), False, False, 0.0, {}, None)
    for machine, numbers in shown(name).items():
        days = 0.0
        for place, job in enumerate(choices.jobs(root)):
            entry = stage_plan.entry(
                job, abstract_step.learners(job.experiment), topology.parse(machine), options
            )
            days += entry.hours / entry.chips / 24
            assert entry.fits
            found = (f"{entry.bytes / 2**30:.1f}", f"{entry.roof.seconds:.3f}", entry.roof.limit,
                     f"{entry.roof.mfu:.2f}")  # fmt: skip
            assert numbers[4 * place : 4 * place + 4] == found
        assert numbers[8] == f"{days:.1f}"
