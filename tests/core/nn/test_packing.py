"""Scatter and gather are each other's inverse on the cells that are taken."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import packing


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(12)), st.sampled_from([1, 5, 12]))
def test_scatter_then_gather_is_the_identity(order, visible):
    index = jnp.array([order[:visible], sorted(order[:visible])])
    layout = packing.Grid(index, rows=3, columns=4)
    x = jnp.arange(1.0, 1.0 + 2 * visible * 2).reshape(2, visible, 2)
    laid = layout.scatter(x)
    assert laid.shape == (6, 4, 2)
    np.testing.assert_array_equal(layout.gather(laid), x)
    np.testing.assert_array_equal(layout.allowed[:, 0, 0], laid[..., 0] != 0.0)
    weight = jnp.cos(x)
    gradient = jax.grad(lambda x: (layout.gather(layout.scatter(x)) * weight).sum())(x)
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
