"""A class token in each frame: visible tokens alone equal a dense grid in which hidden tokens are padding."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core.nn import layers
from prismlab.core.towers import presets, video_encoder

SIZE = presets.Size(dim=8, heads=2, mlp_dim=16, spatial_layers=2, temporal_layers=1, text_layers=1)
FRAMES, SIDE, PATCH = 3, 2, 2
PATCHES = SIDE * SIDE
VIDEO = jnp.asarray(np.random.default_rng(5).random((2, FRAMES, SIDE * PATCH, SIDE * PATCH, 3)), jnp.float32)
# In the first clip, the last frame shows its class token alone.
RAGGED = jnp.array([[0, 1, 2, 4, 5, 6], [0, 3, 4, 7, 8, 11]])
TUBE = jnp.array([[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]])


@functools.cache
def model():
    return video_encoder.FactorizedVideoEncoder(
        SIZE, FRAMES, SIDE * PATCH, PATCH, clip=True, spatial_activation="quick_gelu", scan=False,
        remat="none", key=jax.random.key(0),
    )  # fmt: skip


@eqx.filter_jit
def reference(model, place, frame_paddings):
    """Return the tokens after the spatial part: of every place, with hidden ones as padding."""
    patches = video_encoder.patchify(VIDEO, PATCH)
    b, t, n, _ = patches.shape
    hidden = jnp.ones((b, t * n)).at[jnp.arange(b)[:, None], place].set(0.0).reshape(b * t, n)
    hidden = jnp.maximum(hidden, frame_paddings.reshape(b * t, 1))
    x = (model.patch_projection(patches) + model.spatial_positions.table).reshape(b * t, n, -1)
    first = jnp.broadcast_to(model.class_token.token, (b * t, 1, x.shape[-1]))
    x = model.class_token.norm(jnp.concatenate([first, x], axis=1))
    x = model.spatial_norm(model.spatial(x, jnp.pad(hidden, ((0, 0), (1, 0)))))[:, 1:]
    return jnp.take_along_axis(x.reshape(b, t * n, -1), place[:, :, None], axis=1)


@eqx.filter_jit
def ours(model, place, frame_paddings, tube):
    return model.features(VIDEO, place, frame_paddings, tube=tube)[1]


@pytest.mark.parametrize(("place", "tube"), [(RAGGED, False), (TUBE, False), (TUBE, True)])
@pytest.mark.parametrize("padded", [0.0, 1.0])
def test_visible_tokens_equal_the_padded_reference(place, tube, padded):
    paddings = jnp.zeros((2, FRAMES)).at[1, 1].set(padded)
    keep = 1.0 - jnp.take_along_axis(paddings, place // PATCHES, axis=1)[:, :, None]
    got, wanted = ours(model(), place, paddings, tube), reference(model(), place, paddings)
    np.testing.assert_allclose(got * keep, wanted * keep, atol=1e-5)


def test_all_tokens_visible_equal_the_dense_pass():
    place = jnp.broadcast_to(jnp.arange(FRAMES * PATCHES), (2, FRAMES * PATCHES))
    dense = ours(model(), None, None, False)
    np.testing.assert_allclose(ours(model(), place, None, False), dense, atol=1e-5)


def test_the_norms_of_the_spatial_part_alone_have_the_epsilon_of_clip():
    of = lambda part: {x.epsilon for x in jax.tree.leaves(part, is_leaf=_is_norm) if _is_norm(x)}
    encoder = model()
    spatial = (encoder.class_token, encoder.spatial, encoder.spatial_norm)
    assert of(spatial) == {1e-5}
    assert of((encoder.temporal, encoder.temporal_norm)) == {1e-6}


def _is_norm(each):
    return isinstance(each, layers.LayerNorm)
