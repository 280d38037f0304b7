"""Settings under which nothing is learnt, or the opposite, are refused before a device is busy."""

import functools
import math
import types

import equinox as eqx
import jax
import pytest
import tiny

from prismlab.core import errors
from prismlab.core.train import learner, masking, optim, schedules
from prismlab.data.loader import source
from prismlab.data.world import world as world_module
from prismlab.experiments.recipe.checks import check
from prismlab.objectives import contrastive, latent, masked


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: optim.AdamW(clip_norm=-1.0), "clip_norm must be positive"),
        (lambda: optim.AdamW(clip_norm=0.0), "clip_norm must be positive"),
        (lambda: optim.AdamW(clip_norm=math.inf), "clip_norm must be positive"),
        (lambda: optim.AdamW(b2=1.5), r"b2 must be in \[0, 1\)"),
        (lambda: optim.AdamW(weight_decay=-1e-4), "weight_decay must not be negative"),
        (lambda: optim.AdamW(eps=0.0), "eps must be positive"),
        (lambda: optim.Adafactor(momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: optim.Adafactor(clip_threshold=0.0), "clip_threshold must be positive"),
        (lambda: optim.Schedule(end=1e-4, decay="constant"), "never reached"),
        (lambda: optim.Schedule(peak=math.inf), "peak must be finite"),
        (lambda: optim.Schedule(peak=math.nan), "expected 0 <= end <= peak"),
    ],
)
def test_an_optimizer_that_turns_or_stops_the_update_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def checked(objectives, batch_size=4, frozen=(), steps=4, tower=tiny.video_tower, **more):
    """Check a stage with these objectives; only the fields that the check reads are given."""
    towers = {"video": tower, "text": tiny.text_tower}
    built = eqx.filter_eval_shape(
        lambda key: learner.build(towers, objectives, None, key=key), jax.random.key(0)
    )
    stage = types.SimpleNamespace(batch_size=batch_size, frozen=frozen, steps=steps, **more)
    check.check_learns(stage, built)


CONTRASTIVE = functools.partial(contrastive.Contrastive, drop=masking.Tube(0.5))
LATENT = functools.partial(latent.LatentPrediction, mask=masking.Tube(0.5), **tiny.SMALL)
RAMP = schedules.Ramp(1.0, -1.0, steps=3)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"batch_size": 1}, "needs negatives"),
        (
            {"objectives": {"c": functools.partial(CONTRASTIVE, chunk=3)}},
            "chunk=3 must divide the batch",
        ),
        ({"objectives": {"c": functools.partial(CONTRASTIVE, weight=0.0)}}, "nor all 0"),
        ({"objectives": {"c": functools.partial(CONTRASTIVE, weight=-1.0)}}, "must not be negative"),
        ({"objectives": {"c": functools.partial(CONTRASTIVE, weight=math.nan)}}, "must not be negative"),
        ({"objectives": {"c": functools.partial(CONTRASTIVE, weight=RAMP)}}, "must not be negative"),
        ({"frozen": ("towers", "objectives")}, "leaves nothing to train"),
        (
            {"objectives": {"c": LATENT}, "frozen": ("towers", "objectives/c/decoder")},
            "leaves nothing to train",  # the moving average is no parameter
        ),
        ({"frozen": ("towers/vidoe",)}, "no parameter lies under 'towers/vidoe'"),
    ],
)
def test_a_stage_that_learns_nothing_is_refused(settings, match):
    settings = {"objectives": {"c": CONTRASTIVE}, **settings}
    with pytest.raises(errors.UserError, match=match):
        checked(**settings)


def test_a_stage_without_steps_may_learn_nothing():
    checked({"c": CONTRASTIVE}, batch_size=1, steps=0)


def test_pixels_need_hidden_patches():
    everything = functools.partial(
        masked.MaskedModeling, mask=masking.Tube(1.0), target="pixels", **tiny.SMALL
    )
    with pytest.raises(errors.UserError, match="hides none"):
        checked({"pixels": everything})


def test_float16_is_refused():
    with pytest.raises(errors.UserError, match="dtype must be one of float32, bfloat16, got 'float16'"):
        check.check_learns(
            types.SimpleNamespace(steps=0),
            types.SimpleNamespace(towers={"video": types.SimpleNamespace(dtype="float16")}),
        )


def test_an_ordinary_stage_passes():
    checked({"c": CONTRASTIVE})
    checked({"c": functools.partial(CONTRASTIVE, weight=schedules.Ramp(0.0, 1.0, steps=3))})
    checked({"c": CONTRASTIVE}, frozen=("towers/video/encoder",))


def test_objectives_of_captions_need_a_source_with_captions():
    world = source.Rendered(world_module.World(clips=2))
    silent = {"a": source.WithoutCaptions(world)}

    def captions(objectives, sources, steps=4):
        towers = {"video": tiny.video_tower, "text": tiny.text_tower}
        build = lambda key: learner.build(towers, objectives, None, key=key)
        built = eqx.filter_eval_shape(build, jax.random.key(0))
        data = types.SimpleNamespace(sources=sources)
        check.check_captions(types.SimpleNamespace(steps=steps, data=data), built)

    told = r"the sources \['a'\] have no captions, which the objectives \['c'\] learn from; add a source with"
    with pytest.raises(errors.UserError, match=told):
        captions({"c": CONTRASTIVE}, silent)
    captions({"c": CONTRASTIVE}, silent | {"b": world})
    captions({"c": CONTRASTIVE}, silent, steps=0)
    captions({"c": CONTRASTIVE, "clips": LATENT}, silent)
