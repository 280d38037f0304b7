"""The joint encoder against a plain loop over tokens, on whole, masked and padded clips."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors, trees
from prismlab.core.towers import joint_encoder, presets, video, video_encoder

SIZE = presets.Size(dim=8, heads=2, mlp_dim=12, spatial_layers=1, temporal_layers=1, text_layers=1)
FRAMES, RESOLUTION, PATCH = 2, 4, 2
BUILD = functools.partial(joint_encoder.JointVideoEncoder, SIZE, FRAMES, RESOLUTION, PATCH, scan=False)
CLIPS = jnp.asarray(np.random.default_rng(1).random((2, FRAMES, RESOLUTION, RESOLUTION, 3)), jnp.float32)


@functools.cache
def encoder():
    """Return an encoder none of whose parameters is zero."""
    with jax.ensure_compile_time_eval():
        return _drawn()


@eqx.filter_jit
def _drawn():
    built = BUILD(remat="none", atten_logit_cap=2.0, key=jax.random.key(0))
    arrays, static = eqx.partition(built, eqx.is_array)
    leaves, tree = jax.tree.flatten(arrays)
    draw = lambda number, leaf: leaf + 0.3 * jax.random.normal(jax.random.key(number), leaf.shape)
    return eqx.combine(jax.tree.unflatten(tree, [draw(*each) for each in enumerate(leaves)]), static)


@eqx.filter_jit
def features(*inputs, **more):
    return encoder().features(*inputs, **more)


def norm(x, own, layer=...):
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return scaled * (1 + np.asarray(own.scale)[layer]) + np.asarray(own.bias)[layer]


def attended(y, own, layer):
    """Attend token by token and head by head."""
    project = lambda part: np.einsum("nd,dhk->nhk", y, part.w[layer]) + np.asarray(part.b[layer])
    query, key, value = project(own.query), project(own.key), project(own.value)
    out = np.zeros_like(value)
    for i, head in np.ndindex(*query.shape[:2]):
        logits = [2 * math.tanh(query[i, head] @ key[j, head] / math.sqrt(4) / 2) for j in range(len(y))]
        chances = np.exp(logits) / np.exp(logits).sum()
        out[i, head] = sum(chance * value[j, head] for j, chance in enumerate(chances))
    return np.einsum("nhk,dhk->nd", out, own.post.w[layer]) + np.asarray(own.post.b[layer])


def reference(own, clip, places):
    """Encode the named tokens of one clip with numpy, in float64."""
    clip, rows = np.asarray(clip, np.float64), []
    space = np.asarray(own.spatial_positions((2, 2)))
    time = np.asarray(own.temporal_positions((FRAMES,)))
    own = jax.tree.map(np.asarray, own)  # jax would compile a program for each operation below
    for place in places:
        frame, patch = divmod(place, 4)
        top, left = (PATCH * each for each in divmod(patch, 2))
        pixels = clip[frame, top : top + PATCH, left : left + PATCH].reshape(-1)
        token = pixels @ np.asarray(own.patch_projection.kernel) + np.asarray(own.patch_projection.bias)
        rows.append(token + space[patch] + time[frame])
    x, blocks = np.stack(rows), own.transformer.blocks
    for layer in range(2):
        x = x + attended(norm(x, blocks.attention_norm, layer), blocks.attention, layer)
        inner, outer = blocks.feed.inner, blocks.feed.outer
        hidden = norm(x, blocks.feed_norm, layer) @ np.asarray(inner.kernel[layer]) + inner.bias[layer]
        hidden = np.asarray(hidden, np.float64)
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = x + hidden @ np.asarray(outer.kernel[layer]) + np.asarray(outer.bias[layer])
    return norm(x, own.norm)


@pytest.mark.long
def test_all_tokens_attend_to_all_tokens():
    tokens, spatial = features(CLIPS)
    assert spatial is None
    for clip, found in zip(CLIPS, tokens.x):
        np.testing.assert_allclose(found, reference(encoder(), clip, range(8)), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("tube", [False, True])
def test_of_a_masked_clip_only_the_visible_tokens_are_read(tube):
    place = jnp.asarray([[0, 2, 4, 6], [1, 3, 5, 7]], jnp.int32)
    hidden = jnp.zeros((2, 8), bool).at[jnp.arange(2)[:, None], place].set(True)
    tiles = hidden.reshape(2, 2, 2, 2).repeat(2, axis=2).repeat(2, axis=3)[..., None]
    tokens, _ = features(jnp.where(tiles, CLIPS, jnp.nan), place, tube=tube)
    np.testing.assert_array_equal(tokens.place, place)
    for clip, own, found in zip(CLIPS, place.tolist(), tokens.x):
        np.testing.assert_allclose(found, reference(encoder(), clip, own), rtol=2e-4, atol=2e-5)


def test_padded_frames_are_not_read():
    paddings = jnp.asarray([[0.0, 1.0], [0.0, 0.0]])
    tokens, _ = features(CLIPS, frame_paddings=paddings)
    np.testing.assert_allclose(
        tokens.x[0, :4], reference(encoder(), CLIPS[0], range(4)), rtol=2e-4, atol=2e-5
    )


def test_it_has_the_parameters_of_the_factorized_encoder_but_for_one_norm():
    make = functools.partial(video_encoder.FactorizedVideoEncoder, SIZE, FRAMES, RESOLUTION, PATCH)
    factorized = eqx.filter_eval_shape(make, key=jax.random.key(0))
    assert trees.count(factorized) - trees.count(encoder()) == 2 * SIZE.dim
    assert eqx.filter_eval_shape(BUILD, depth=3, key=jax.random.key(0)).transformer.count == 3


def test_a_tower_of_it_encodes_clips():
    tower = eqx.filter_eval_shape(video.VideoTower, BUILD, key=jax.random.key(0))
    encoded = eqx.filter_eval_shape(lambda tower, clips: tower(clips), tower, CLIPS)
    assert (tower.dim, tower.frames, tower.patches, tower.patch, tower.resolution) == (8, 2, 4, 2, 4)
    assert encoded.spatial is None
    assert encoded.pooled.shape == (2, 8)


def test_a_patch_that_does_not_fit_is_refused():
    with pytest.raises(errors.UserError, match="resolution must be divisible by patch; got patch 3"):
        joint_encoder.JointVideoEncoder(SIZE, FRAMES, RESOLUTION, 3, key=jax.random.key(0))
