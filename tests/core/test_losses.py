"""Unit vectors and the cosine distance: range, invariance, and no gradient that blows up."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core import losses

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
