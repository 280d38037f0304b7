"""Layers against direct formulas, and what masks and dtypes must and must not change."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.nn import layers
from prismlab.core.parallel import mesh

KEY = jax.random.key(0)
NORM = jax.jit(lambda x: layers.LayerNorm(64)(x))
ATTEND = jax.jit(layers.attend, static_argnums=4)


def _noise(shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), spread=st.floats(0.1, 100.0), shift=st.floats(-10.0, 10.0))
def test_layer_norm_gives_zero_mean_and_unit_deviation(seed, spread, shift):
    x = shift + spread * np.asarray(_noise((3, 64), seed))
    y = NORM(x)
    y = np.asarray(y, np.float64)
    np.testing.assert_allclose(y.mean(-1), 0.0, atol=1e-4)
    np.testing.assert_allclose(y.std(-1), 1.0, atol=1e-3)


def test_layer_norm_applies_one_plus_scale():
    norm = layers.LayerNorm(8)
    moved = layers.LayerNorm(8)
    object.__setattr__(moved, "scale", jnp.full(8, 0.5))
    object.__setattr__(moved, "bias", jnp.full(8, 2.0))
    x = _noise((2, 8))
    np.testing.assert_allclose(moved(x), 1.5 * norm(x) + 2.0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), cap=st.sampled_from([0.0, 0.5, 50.0]), mask=st.integers(0, 31))
def test_attend_equals_a_loop_over_rows(seed, cap, mask):
    random = np.random.default_rng(seed)
    query, key, value = (random.normal(size=(1, 5, 2, 4)) for _ in range(3))
    allowed = np.array([(mask >> j) & 1 for j in range(5)], bool)
    got = ATTEND(
        *(jnp.asarray(x, jnp.float32) for x in (query, key, value)),
        jnp.asarray(allowed)[None, None, None],
        cap,
    )
    for head in range(2):
        logits = query[0, :, head] @ key[0, :, head].T
        logits = cap * np.tanh(logits / cap) if cap else logits
        # Nothing to look at: every place counts the same.
        logits = np.where(allowed, logits, -np.inf) if allowed.any() else np.zeros_like(logits)
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(got[0, :, head], weights @ value[0, :, head], atol=1e-5)


def test_capping_comes_before_masking():
    # Capped after masking, a masked logit would be -50 instead of minus infinity, and leak.
    query = jnp.full((1, 1, 1, 1), 100.0)
    key = jnp.array([-100.0, 0.0]).reshape(1, 2, 1, 1)
    value = jnp.array([0.0, 1.0]).reshape(1, 2, 1, 1)
    allowed = jnp.array([True, False]).reshape(1, 1, 1, 2)
    assert layers.attend(query, key, value, allowed, 50.0).item() == 0.0


def test_gradient_is_finite_where_nothing_is_allowed():
    def total(x):
        return layers.attend(x, x, x, jnp.zeros((1, 1, 1, 3), bool), 50.0).sum()

    assert jnp.isfinite(jax.jit(jax.grad(total))(_noise((1, 3, 2, 4)))).all()


def test_residual_scale_multiplies_only_the_last_matrices():
    full = layers.Attention(8, 2, key=KEY)
    small = layers.Attention(8, 2, residual_scale=0.25, key=KEY)
    np.testing.assert_allclose(small.post.w, 0.25 * full.post.w, atol=1e-7)
    np.testing.assert_array_equal(small.query.w, full.query.w)
    wide = layers.FeedForward(8, 16, key=KEY)
    thin = layers.FeedForward(8, 16, residual_scale=0.25, key=KEY)
    np.testing.assert_allclose(thin.outer.kernel, 0.25 * wide.outer.kernel, atol=1e-7)
    np.testing.assert_array_equal(thin.inner.kernel, wide.inner.kernel)


def test_initial_matrices_have_variance_one_over_fan_in():
    attention = layers.Attention(256, 4, hidden_dim=64, key=KEY)
    assert abs(float(attention.query.w.std()) * 16 - 1.0) < 0.03
    assert abs(float(attention.post.w.std()) * 8 - 1.0) < 0.03
    assert abs(float(layers.Linear(64, 512, key=KEY).kernel.std()) * 8 - 1.0) < 0.03


def test_padded_tokens_give_zero_in_the_feed_forward():
    feed = layers.FeedForward(8, 16, key=KEY)
    # With its first, zero bias the last map would give zero anyway.
    feed = eqx.tree_at(lambda f: f.outer.bias, feed, jnp.ones(8))
    x = _noise((2, 3, 8))
    paddings = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    got, whole = jax.jit(lambda x, paddings: (feed(x, paddings), feed(x)))(x, paddings)
    got, whole, padded = np.asarray(got), np.asarray(whole), np.asarray(paddings) == 1.0
    assert (got[padded] == 0.0).all()
    np.testing.assert_array_equal(got[~padded], whole[~padded])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_keep_their_dtype_under_strict_promotion(dtype):
    x = _noise((2, 3, 8)).astype(dtype)
    with jax.numpy_dtype_promotion("strict"):
        attention = layers.Attention(8, 2, per_dimension_scale=True, key=KEY)
        assert jax.eval_shape(attention, x).dtype == dtype
        assert jax.eval_shape(layers.FeedForward(8, 16, key=KEY), x, jnp.zeros((2, 3))).dtype == dtype
        assert layers.LayerNorm(8)(x).dtype == dtype


def test_wrong_heads_and_activation_are_named():
    with pytest.raises(errors.UserError, match="got 3 heads for 8"):
        layers.Attention(8, 3, key=KEY)
    with pytest.raises(errors.UserError, match="'swish'"):
        layers.FeedForward(8, 16, activation="swish", key=KEY)


def test_only_a_program_for_a_tpu_multiplies_rows_without_flattening_them(monkeypatch):
    x, kernel, weight = _noise((2, 3, 5)), _noise((5, 4), 2), _noise((2, 3, 4), 3)
    loss = lambda x, kernel: jnp.sum(weight * layers.rows_times(x, kernel))
    both = {}
    for platform in ("cpu", "tpu"):
        with mesh.planned(platform):
            assert mesh.platform() == platform
            flat = "reshape" in str(jax.make_jaxpr(layers.rows_times)(x, kernel))
            assert flat == (platform == "cpu")
        monkeypatch.setattr(
            mesh, "platform", lambda each=platform: each
        )  # JAX 0.12 runs nothing in `planned`
        both[platform] = jax.value_and_grad(loss, argnums=(0, 1))(x, kernel)
        monkeypatch.undo()
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5), *both.values())
