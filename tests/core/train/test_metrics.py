"""Averages merge exactly and in any order; what has weight 0 is not there."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core.train import metrics

# Small whole numbers add without rounding, so laws of addition can be asked for bit by bit.
PAIRS = st.lists(st.tuples(st.integers(-99, 99), st.integers(0, 9)), min_size=4, max_size=4)


def _mean(pairs):
    values, weights = np.array(pairs, np.float32).reshape(-1, 2).T
    return metrics.Mean.of(jnp.asarray(values), jnp.asarray(weights))


def _bits(mean):
    return float(mean.total), float(mean.count)


@given(PAIRS, PAIRS, PAIRS)
def test_merge_is_associative_commutative_and_equals_one_average(a, b, c):
    x, y, z = _mean(a), _mean(b), _mean(c)
    assert _bits(x.merge(y).merge(z)) == _bits(x.merge(y.merge(z))) == _bits(_mean(a + b + c))
    assert _bits(x.merge(y)) == _bits(y.merge(x))


@given(PAIRS)
def test_value_is_the_weighted_average(pairs):
    values, weights = np.array(pairs, np.float64).T
    wanted = (values * weights).sum() / weights.sum() if weights.sum() else 0.0
    np.testing.assert_allclose(float(_mean(pairs).value), wanted, rtol=1e-5, atol=1e-5)


@given(PAIRS, st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
def test_weight_zero_silences_any_value(pairs, value):
    assert _bits(_mean([*pairs, (value, 0)])) == _bits(_mean(pairs))


def test_gradient_ignores_what_is_silenced():
    weights = jnp.array([1.0, 0.0])
    gradient = jax.grad(lambda v: metrics.Mean.of(v, weights).value)(jnp.array([2.0, jnp.nan]))
    np.testing.assert_array_equal(gradient, [1.0, 0.0])


def test_nothing_counted_gives_zero_with_a_finite_gradient():
    value, gradient = jax.value_and_grad(lambda v: metrics.Mean.of(v, jnp.zeros(2)).value)(jnp.ones(2))
    assert float(value) == 0.0
    np.testing.assert_array_equal(gradient, [0.0, 0.0])


def test_low_precision_is_summed_in_float32():
    mean = metrics.Mean.of(jnp.ones(4096, jnp.bfloat16), jnp.ones(4096))
    assert mean.total.dtype == jnp.float32
    assert float(mean.total) == 4096.0
