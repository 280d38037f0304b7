"""The shipped full-scale recipes hold the numbers of the paper: parameters, rates, masks, decoders, corpus.

Each expected value is a fact of the paper or the release, or follows from one by arithmetic; values that
the paper leaves open are stated in the gin files and docstrings instead.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from prismlab.core import trees
from prismlab.core.train import learner, masking
from prismlab.data.video import sampling
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.checks import shapes


@functools.cache
def stages(name: str) -> dict[str, recipe.Stage]:
    """Return the stages of a shipped recipe by name."""
    root = strict.load(f"videoprism_{name}.gin", []).root
    assert isinstance(root, recipe.Experiment)
    return {stage.name: stage for stage in root.stages}


@functools.cache
def learners(name: str) -> dict[str, learner.Learner]:
    """Return the learners of a shipped recipe by stage, shapes only."""
    found: dict[str, learner.Learner] = {}
    for stage in stages(name).values():
        found[stage.name] = shapes.abstract_learner(stage, found)
    return found


# Encoders with 8 frames: 8 rows of temporal positions fewer than the release's 114,365,184 (base, 16 frames).
@pytest.mark.parametrize(
    ("name", "encoder", "dim", "distilled"),
    [("base", 114_359_040, 768, 15.76e6), ("giant", 1_112_755_072, 1408, 21.99e6)],
)
def test_parameters_are_those_of_table_9_and_11(name, encoder, dim, distilled):
    built = learners(name)
    for stage in ("stage1", "stage2"):
        assert trees.count(built[stage].towers["video"].encoder) == encoder
    objectives = built["stage2"].objectives
    layer = 4 * (512 * 512 + 512) + (512 * 2048 + 2048) + (2048 * 512 + 512) + 2 * 2 * 512
    ends = (dim * 512 + 512) + 2 * 512 + (512 * dim + dim)  # projector, norm, head
    assert trees.count(objectives["local"]) == 4 * layer + ends + 512 + 2048 * 512  # mask token, positions
    assert trees.count(objectives["global"]) == pytest.approx(distilled, abs=5e3)


def test_decoders_have_the_shape_of_table_11():
    objectives = learners("base")["stage2"].objectives
    for transformer in (objectives["local"].decoder.transformer, objectives["global"].transformer):
        shapes_found = {leaf.shape for leaf in jax.tree.leaves(transformer)}
        assert {shape[0] for shape in shapes_found} == {4}  # layers, stacked
        assert {(4, 512, 2048), (4, 2048, 512)} <= shapes_found


@pytest.mark.parametrize("name", ["base", "giant"])
def test_rates_and_decay_are_those_of_table_10(name):
    first, second = stages(name)["stage1"], stages(name)["stage2"]
    assert (first.steps, first.batch_size, first.optimizer.weight_decay) == (200_000, 4096, 1e-4)
    assert (second.steps, second.batch_size, second.optimizer.weight_decay) == (300_000, 4096, 0.05)
    at = lambda stage, *steps: [stage.optimizer.schedule.build(stage.steps)(step - 1) for step in steps]
    half = 20_000 + 90_000  # halfway down a linear decay to 0
    found = at(first, 10_000, 20_000, half, 200_000)
    np.testing.assert_allclose(found, [2.5e-4, 5e-4, 2.5e-4, 0.0], rtol=1e-4, atol=1e-12)
    half = 25_000 + 137_500  # halfway down a cosine: the mean of peak and end
    found = at(second, 12_500, 25_000, half, 300_000)
    np.testing.assert_allclose(found, [2.5e-4, 5e-4, (5e-4 + 1e-5) / 2, 1e-5], rtol=1e-4)


def test_masks_keep_the_paper_s_share_of_the_tokens():
    tower = learners("base")["stage1"].towers["video"]
    assert (tower.frames, tower.patches) == (8, 256)
    drop = learners("base")["stage1"].objectives["contrastive"].drop
    mask = learners("base")["stage2"].objectives["local"].mask
    assert (type(drop), drop.count(8, 256)) == (masking.Tube, 1024)  # half of 2,048
    assert (type(mask), mask.count(8, 256)) == (masking.BlockTube, 717)  # 35%
    assert mask == learners("base")["stage2"].objectives["global"].mask  # one student pass


def test_the_corpus_has_the_sizes_of_table_1():
    line = stages("base")["stage1"].data
    assert sum(line.weights.values()) == pytest.approx(618.9)
    assert line.weights["videocc"] == 191.1
    assert len(line.sources) == 7
    assert isinstance(line.choose, sampling.Uniform)
    assert (line.frames, line.resolution, line.tokenizer.vocabulary, line.tokenizer.length) == (
        8,
        288,
        32000,
        64,
    )


def test_the_student_has_no_pooler_that_no_loss_reads():
    assert learners("base")["stage2"].towers["video"].pooler is None
    assert learners("base")["stage1"].towers["video"].pooler is not None


@pytest.mark.parametrize("name", ["base", "giant"])
def test_lit_is_stage_1_again_on_the_frozen_encoder_of_stage_2(name):
    first, lit = stages(name)["stage1"], stages(name)["lit"]
    described = lambda stage, field: describe.describe(getattr(stage, field))
    same = ("towers", "objectives", "optimizer", "steps", "batch_size", "teacher")
    assert [described(lit, field) for field in same] == [described(first, field) for field in same]
    assert lit.frozen == ("towers/video/encoder",)
    assert lit.init_from["towers/video/encoder"] == "stage2"
    assert {lit.init_from[path] for path in ("towers/video/pooler", "towers/text")} == {"stage1"}
    # The last epoch: Anonymous-Corpus #3 alone, of 71.5M clips.
    weights = dataclasses.replace(lit.data, phases=())
    assert weights == first.data
    (last,) = lit.data.phases
    assert list(last.weights) == ["anonymous_3"]
    assert (lit.steps - last.start) * lit.batch_size == pytest.approx(71.5e6, rel=1e-4)
