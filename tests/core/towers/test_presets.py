"""The sizes hold the published numbers of parameters."""

import functools

import equinox as eqx
import jax
import pytest

from prismlab.core.nn import transformer_stack
from prismlab.core.towers import presets, text, video, video_encoder


def _count(make) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter_eval_shape(make)) if hasattr(leaf, "size"))


@pytest.mark.parametrize(
    ("size", "frames", "wanted"),
    [
        (presets.base(), 16, 114_365_184),
        (presets.large(), 8, 353_965_056),
        (presets.giant(), 8, 1_112_755_072),
    ],
)
def test_video_encoder_has_the_published_number_of_parameters(size, frames, wanted):
    key = jax.random.key(0)
    assert _count(lambda: video.FactorizedVideoEncoder(size, frames, 288, 18, key=key)) == wanted


@pytest.mark.parametrize(
    ("size", "frames", "policy", "wanted"),
    [
        (presets.base(), 16, "pre", 247_623_424),
        (presets.large(), 8, "pre", 579_877_120),
        (presets.giant(), 8, "primer_hybrid", 1_621_074_016),
    ],
)
def test_video_text_model_has_the_published_number_of_parameters(size, frames, policy, wanted):
    key = jax.random.key(0)

    def make():
        encoder = functools.partial(video_encoder.FactorizedVideoEncoder, size, frames, 288, 18)
        layers = functools.partial(transformer_stack.Stack, 2, size.dim, size.heads, size.mlp_dim)
        tower = video.VideoTower(encoder, auxiliary=layers, key=key)
        return tower, text.TextTower(size, 32_000, norm_policy=policy, key=key)

    assert _count(make) == wanted


@pytest.mark.parametrize("make", [presets.nano, presets.tiny, presets.small, presets.base, presets.large])
def test_sizes_are_consistent(make):
    size = make()
    assert size.dim % size.heads == 0
    assert size.mlp_dim == 4 * size.dim
    assert make() == size
    assert hash(make()) == hash(size)
