"""Unit vectors and the cosine distance: range, invariance, and no gradient that blows up."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core.nn import losses

SEEDS = st.integers(0, 9999)


def _pair(seed, dim=6):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(2, 3, dim)), jnp.float32)


@given(SEEDS)
def test_distance_equals_the_formula_and_lies_between_0_and_2(seed):
    a, b = _pair(seed)
    got = np.asarray(losses.cosine_distance(a, b))
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    np.testing.assert_allclose(got, 1 - (x * y).sum(-1) / norms, atol=1e-5)
    assert (got >= -1e-6).all()
    assert (got <= 2 + 1e-6).all()
    np.testing.assert_allclose(losses.cosine_distance(a, a), 0.0, atol=1e-5)
    np.testing.assert_allclose(losses.cosine_distance(a, -a), 2.0, atol=1e-5)


@given(SEEDS, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_distance_ignores_lengths(seed, left, right):
    a, b = _pair(seed)
    got = losses.cosine_distance(np.float32(left) * a, np.float32(right) * b)
    np.testing.assert_allclose(got, losses.cosine_distance(a, b), atol=1e-5)


@given(SEEDS, st.floats(1e-3, 1e3))
def test_unit_vectors_have_unit_length(seed, length):
    x = np.float32(length) * _pair(seed)[0]
    np.testing.assert_allclose(np.linalg.norm(losses.normalise(x), axis=-1), 1.0, atol=1e-5)


def test_a_zero_vector_stays_zero_with_a_finite_gradient():
    zero, other = jnp.zeros((1, 4)), jnp.ones((1, 4))
    np.testing.assert_array_equal(losses.normalise(zero), zero)
    assert float(losses.cosine_distance(zero, other)[0]) == 1.0
    gradient = jax.grad(lambda x: losses.cosine_distance(x, other).sum())(zero)
    assert jnp.isfinite(gradient).all()


def test_low_precision_is_normalised_in_float32():
    assert losses.normalise(jnp.ones((1, 4), jnp.bfloat16)).dtype == jnp.float32
    assert losses.cosine_distance(jnp.ones((1, 4), jnp.bfloat16), jnp.ones((1, 4))).dtype == jnp.float32


@given(st.integers(0, 10_000))
def test_whitened_tokens_have_unit_covariance_and_no_mean_at_any_place(seed):
    mixed = jax.random.normal(jax.random.key(seed), (200, 2, 3)) @ jnp.array(
        [[3.0, 1, 0], [0, 1, 1], [0, 0, 0.5]]
    )
    white = losses.whiten(mixed + jnp.array([5.0, 0, 1]), jnp.ones(200))
    np.testing.assert_allclose(white.mean(0), 0.0, atol=1e-5)
    flat = np.asarray(white).reshape(-1, 3)
    # A thousandth of the mean variance is added before the root, hence the tolerance in small directions.
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(3), atol=0.05)


def test_examples_of_weight_zero_do_not_move_whitened_targets():
    tokens = jax.random.normal(jax.random.key(0), (6, 4, 3))
    weight = jnp.array([1.0, 1, 1, 1, 0, 0])
    other = tokens.at[4:].set(100.0)
    np.testing.assert_array_equal(losses.whiten(tokens, weight)[:4], losses.whiten(other, weight)[:4])
