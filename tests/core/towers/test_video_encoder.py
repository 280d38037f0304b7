"""Visible tokens only: equal to a dense grid in which all hidden tokens are padding."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.towers import presets, video_encoder

SIZE = presets.Size(dim=8, heads=2, mlp_dim=16, spatial_layers=2, temporal_layers=2, text_layers=1)
FRAMES, SIDE, PATCH = 3, 2, 4
PATCHES = SIDE * SIDE
TOKENS = FRAMES * PATCHES


def _make(**options):
    built = video_encoder.FactorizedVideoEncoder(
        SIZE, FRAMES, SIDE * PATCH, PATCH, key=jax.random.key(0), **options
    )
    # Biases and scales away from zero, so that nothing is equal for want of them.
    leaves, structure = jax.tree.flatten(built)
    return jax.tree.unflatten(
        structure, [x + 0.1 * jax.random.normal(jax.random.key(i), x.shape) for i, x in enumerate(leaves)]
    )


@functools.cache
def _model():
    return _make()


VIDEO = jnp.asarray(np.random.default_rng(5).random((2, FRAMES, SIDE * PATCH, SIDE * PATCH, 3)), jnp.float32)


def _padded(model, video, place, frame_paddings=None):
    # The reference: every token of the grid, hidden ones as padding in both halves; written without grids.
    patches = video_encoder.patchify(video, model.patch)
    b, t, n, _ = patches.shape
    hidden = jnp.ones((b, t * n)).at[jnp.arange(b)[:, None], place].set(0.0).reshape(b, t, n)
    if frame_paddings is not None:
        hidden = jnp.maximum(hidden, frame_paddings[:, :, None])
    x = model.patch_projection(patches) + model.spatial_positions.table
    x = model.spatial_norm(model.spatial(x.reshape(b * t, n, -1), hidden.reshape(b * t, n)))
    x = x.reshape(b, t, n, -1)
    spatial = x
    x = x.swapaxes(1, 2).reshape(b * n, t, -1) + model.temporal_positions.table
    x = model.temporal_norm(model.temporal(x, hidden.swapaxes(1, 2).reshape(b * n, t)))
    x = x.reshape(b, n, t, -1).swapaxes(1, 2)
    pick = jax.vmap(lambda rows, chosen: rows[chosen])
    return pick(x.reshape(b, t * n, -1), place), pick(spatial.reshape(b, t * n, -1), place)


def _ours(model, video, place, frame_paddings=None, tube=False):
    tokens, spatial = model.features(video, place, frame_paddings, tube=tube)
    return tokens.x, spatial


def _value_and_grad(run, tube=False):
    def loss(inputs, place, frame_paddings):
        extra = {"tube": True} if tube else {}
        x, spatial = run(*inputs, place, frame_paddings, **extra)
        if frame_paddings is not None:
            # Tokens of padded frames have no meaning; they must not matter to the others.
            keep = 1.0 - jnp.take_along_axis(frame_paddings, place // PATCHES, axis=1)[..., None]
            x, spatial = x * keep, spatial * keep
        weight = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
        return (weight * x).sum() + (weight[..., ::-1] * spatial).sum(), (x, spatial)

    return eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))


REFERENCE = _value_and_grad(_padded)
RAGGED = _value_and_grad(_ours)
TUBE = _value_and_grad(_ours, tube=True)


def _agree(ours, place, frame_paddings=None):
    place = jnp.array(place, jnp.int32)
    ((_, wanted), wanted_gradient), ((_, got), gradient) = (
        run((_model(), VIDEO), place, frame_paddings) for run in (REFERENCE, ours)
    )
    for a, b in zip(wanted, got):
        np.testing.assert_allclose(b, a, atol=1e-5, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(wanted_gradient), jax.tree.leaves(gradient)):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(b, a, atol=1e-4, rtol=1e-4)
    # Gradient of hidden pixels is exactly zero.
    by_patch = video_encoder.patchify(gradient[1], PATCH).reshape(2, TOKENS, -1)
    for row, chosen in zip(np.asarray(by_patch), np.asarray(place)):
        assert (np.delete(row, chosen, axis=0) == 0.0).all()


# Six visible tokens, always: one shape, so each side compiles once.
VISIBLE = 6
ORDERS = st.permutations(range(TOKENS))
NONE_PADDED = jnp.zeros((2, FRAMES))
ONE_PADDED = jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
SPREAD = jnp.array([[0, 1, 4, 5, 8, 9]] * 2)


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(ORDERS, ORDERS, st.sampled_from([NONE_PADDED, ONE_PADDED]))
# Frame 2 sees nothing at all in the first clip; a location without any token in the second.
@example(list(range(TOKENS)), [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11], NONE_PADDED)
def test_any_mask_equals_the_padded_reference_in_values_and_gradients(first, second, frame_paddings):
    _agree(RAGGED, [sorted(order[:VISIBLE]) for order in (first, second)], frame_paddings)


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(
    st.permutations(range(PATCHES)),
    st.permutations(range(PATCHES)),
    st.sampled_from([NONE_PADDED, ONE_PADDED]),
)
def test_a_tube_equals_the_padded_reference_in_values_and_gradients(first, second, frame_paddings):
    rows = [sorted(order[: VISIBLE // FRAMES]) for order in (first, second)]
    place = [[frame * PATCHES + patch for frame in range(FRAMES) for patch in row] for row in rows]
    _agree(TUBE, place, frame_paddings)


@eqx.filter_jit
def _values(model, video, place, tube=False):
    return model(video, place, tube=tube)


@pytest.mark.parametrize("tube", [False, True])
def test_all_visible_equals_dense(tube):
    place = jnp.broadcast_to(jnp.arange(TOKENS), (2, TOKENS))
    dense = _values(_model(), VIDEO, None)
    np.testing.assert_array_equal(dense.place, place)
    np.testing.assert_allclose(_values(_model(), VIDEO, place, tube).x, dense.x, atol=1e-5)


@pytest.mark.parametrize("tube", [False, True])
def test_hidden_pixels_never_enter_even_when_they_are_not_numbers(tube):
    hidden = np.ones((2, TOKENS), bool)
    hidden[:, np.asarray(SPREAD[0])] = False
    tiles = np.asarray(VIDEO).reshape(2, FRAMES, SIDE, PATCH, SIDE, PATCH, 3)
    spoiled = np.where(hidden.reshape(2, FRAMES, SIDE, 1, SIDE, 1, 1), np.nan, tiles).reshape(VIDEO.shape)
    got = _values(_model(), jnp.asarray(spoiled), SPREAD, tube).x
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got, _values(_model(), VIDEO, SPREAD, tube).x)


def test_a_place_outside_the_clip_is_loud():
    assert np.isnan(_values(_model(), VIDEO, SPREAD.at[:, -1].set(TOKENS)).x).any()


def test_cost_falls_with_the_visible_share():
    # A wide feed-forward, where token-wise work dominates as it does at the paper's sizes.
    size = presets.Size(dim=64, heads=2, mlp_dim=512, spatial_layers=1, temporal_layers=1, text_layers=1)
    make = functools.partial(video_encoder.FactorizedVideoEncoder, size, 4, 16, 4, scan=False, remat="none")
    model, static = eqx.partition(
        eqx.filter_eval_shape(make, key=jax.random.key(0)),
        lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct),
    )
    video = jax.ShapeDtypeStruct((2, 4, 16, 16, 3), jnp.float32)

    def flops(visible, tube):
        place = jax.ShapeDtypeStruct((2, visible), jnp.int32)
        run = jax.jit(lambda model, video, place: eqx.combine(model, static)(video, place, tube=tube).x)
        return run.lower(model, video, place).cost_analysis()["flops"]

    assert flops(16, True) < 0.3 * flops(64, True)
    assert flops(16, False) < 0.4 * flops(64, False)


@pytest.mark.parametrize(("frames", "side", "patch"), [(1, 1, 1), (2, 3, 2), (3, 2, 3)])
def test_patchify_keeps_row_column_channel_order(frames, side, patch):
    shape = (2, frames, side * patch, side * patch, 3)
    video = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    got = np.asarray(video_encoder.patchify(jnp.asarray(video), patch))
    for row in range(side):
        for column in range(side):
            cut = video[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            np.testing.assert_array_equal(got[:, :, row * side + column], cut.reshape(2, frames, -1))


@pytest.mark.parametrize("scan", [True, False])
def test_other_lengths_and_resolutions_are_accepted(scan):
    model = video_encoder.FactorizedVideoEncoder(SIZE, 3, 8, 4, scan=scan, key=jax.random.key(0))
    longer = eqx.filter_eval_shape(model, jnp.zeros((1, 5, 12, 12, 3)))
    assert longer.x.shape == (1, 45, 8)
    image = eqx.filter_eval_shape(model, jnp.zeros((1, 1, 8, 8, 3)), jnp.array([[1, 3]]))
    assert image.x.shape == (1, 2, 8)


def test_bfloat16_activations_keep_float32_parameters():
    model = _make(dtype="bfloat16")
    with jax.numpy_dtype_promotion("strict"):
        assert eqx.filter_eval_shape(model, VIDEO).x.dtype == jnp.bfloat16
        assert eqx.filter_eval_shape(model, VIDEO, SPREAD, NONE_PADDED).x.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(model))
    exact = _values(_model(), VIDEO, SPREAD).x
    np.testing.assert_allclose(_values(model, VIDEO, SPREAD).x.astype(jnp.float32), exact, atol=0.15)


def test_knobs_reach_their_parameters():
    model = video_encoder.FactorizedVideoEncoder(
        SIZE, 30, 40, 4, position_std=0.3, temporal_residual_scale=0.05, key=jax.random.key(0)
    )
    plain = video_encoder.FactorizedVideoEncoder(SIZE, 30, 40, 4, key=jax.random.key(0))
    assert abs(float(model.spatial_positions.table.std()) - 0.3) < 0.03
    assert abs(float(model.temporal_positions.table.std()) - 0.3) < 0.05
    ours, theirs = model.temporal.blocks, plain.temporal.blocks
    np.testing.assert_allclose(ours.attention.post.w, 0.05 * theirs.attention.post.w, atol=1e-6)
    np.testing.assert_allclose(ours.feed.outer.kernel, 0.05 * theirs.feed.outer.kernel, atol=1e-6)
    np.testing.assert_array_equal(
        model.spatial.blocks.attention.post.w, plain.spatial.blocks.attention.post.w
    )


def test_wrong_frames_and_masks_are_named():
    with pytest.raises(errors.UserError, match="got 8 x 12"):
        _model()(jnp.zeros((1, 3, 8, 12, 3)))
    with pytest.raises(errors.UserError, match="divisible by the patch, 4; got 10 x 10"):
        _model()(jnp.zeros((1, 3, 10, 10, 3)))
    with pytest.raises(errors.UserError, match="got patch 4, resolution 10"):
        video_encoder.FactorizedVideoEncoder(SIZE, 3, 10, 4, key=jax.random.key(0))
    with pytest.raises(errors.UserError, match="got 4 visible"):
        _model()(VIDEO, jnp.array([[0, 1, 2, 3]] * 2), tube=True)
