"""The tower is the encoder plus, if asked, a head over its tokens."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.nn import transformer_stack
from prismlab.core.towers import presets, video, video_encoder

SIZE = presets.Size(dim=8, heads=2, mlp_dim=16, spatial_layers=1, temporal_layers=1, text_layers=1)
CLIPS = jax.random.uniform(jax.random.key(5), (2, 3, 8, 8, 3))

ENCODER = functools.partial(video_encoder.FactorizedVideoEncoder, SIZE, 3, 8, 4)
AUXILIARY = functools.partial(transformer_stack.Stack, 1, SIZE.dim, SIZE.heads, SIZE.mlp_dim)


def _tower(**options):
    return video.VideoTower(ENCODER, key=jax.random.key(0), **options)


def test_sizes_are_told():
    tower = _tower()
    assert (tower.dim, tower.frames, tower.patches, tower.patch, tower.resolution) == (8, 3, 4, 4, 8)


@pytest.mark.parametrize("auxiliary", [0, 1])
def test_pooled_comes_from_the_visible_tokens(auxiliary):
    tower = _tower(auxiliary=AUXILIARY if auxiliary else None)
    place = jnp.array([[0, 2, 5], [1, 4, 11]])

    @jax.jit
    def both(clips):
        x = tower.encoder(clips, place).x
        return tower(clips, place), x, tower.pooler(tower.auxiliary(x) if auxiliary else x)

    got, x, pooled = both(CLIPS)
    np.testing.assert_array_equal(got.tokens.place, place)
    np.testing.assert_allclose(got.tokens.x, x, atol=1e-6)
    np.testing.assert_allclose(got.pooled, pooled, atol=1e-6)


def test_parts_do_not_move_each_others_weights():
    full, bare = _tower(auxiliary=AUXILIARY), _tower(use_pooler=False)
    for a, b in zip(jax.tree.leaves(full.encoder), jax.tree.leaves(bare.encoder)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(full.pooler.query, _tower().pooler.query)


def test_without_a_pooler_nothing_is_pooled():
    bare = _tower(use_pooler=False)
    assert jax.eval_shape(bare, CLIPS).pooled is None
    with pytest.raises(errors.UserError, match="use_pooler=True"):
        bare.pool(jnp.zeros((1, 2, 8)))
    with pytest.raises(errors.UserError, match="auxiliary=None"):
        _tower(use_pooler=False, auxiliary=AUXILIARY)


def test_leaves_read_well():
    paths = jax.tree_util.tree_leaves_with_path(_tower())
    names = {jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths}
    assert {
        "encoder.spatial.blocks.attention.query.w",
        "encoder.patch_projection.kernel",
        "pooler.query",
    } <= names
