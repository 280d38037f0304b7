"""Scatter and gather are each other's inverse on the cells that are taken."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import packing


@jax.jit
def _both_ways(index, x, weight):
    """Return what is laid out, which cells are taken, what comes back, and the gradient of that."""
    layout = packing.Grid(index, rows=3, columns=4)
    laid = layout.scatter(x)
    gradient = jax.grad(lambda x: (layout.gather(layout.scatter(x)) * weight).sum())(x)
    return laid, layout.allowed, layout.gather(laid), gradient


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(12)), st.sampled_from([1, 5, 12]))
def test_scatter_then_gather_is_the_identity(order, visible):
    index = np.array([order[:visible], sorted(order[:visible])], np.int32)
    x = np.arange(1.0, 1.0 + 2 * visible * 2, dtype=np.float32).reshape(2, visible, 2)
    weight = np.cos(x)
    laid, allowed, back, gradient = _both_ways(index, x, weight)
    assert laid.shape == (6, 4, 2)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_array_equal(allowed[:, 0, 0], np.asarray(laid)[..., 0] != 0.0)
    np.testing.assert_allclose(gradient, weight, atol=1e-6)


def test_absent_tokens_may_not_be_looked_at():
    layout = packing.Grid(jnp.array([[0, 3]]), rows=2, columns=2, present=jnp.array([[True, False]]))
    np.testing.assert_array_equal(layout.allowed[:, 0, 0], [[True, False], [False, False]])


def test_packed_tokens_see_those_of_their_row_that_are_present():
    index = jnp.array([[0, 3, 2]])
    same = packing.Grid(index, rows=2, columns=2).same_row()
    np.testing.assert_array_equal(
        same[0, 0], [[True, False, False], [False, True, True], [False, True, True]]
    )
    present = jnp.array([[True, False, True]])
    same = packing.Grid(index, rows=2, columns=2, present=present).same_row()
    np.testing.assert_array_equal(
        same[0, 0], [[True, False, False], [False, False, True], [False, False, True]]
    )
