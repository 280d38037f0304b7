"""Products of attention: values and gradients are those of the plain products, at all lengths."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import attention, short_products
from prismlab.core.parallel import mesh

SIZES = st.sampled_from((1, 2, 4, 16, short_products.LONGEST, short_products.LONGEST + 1))


def _drawn(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@settings(max_examples=8)
@given(SIZES, SIZES, st.integers(0, 2**16))
def test_values_and_gradients_are_those_of_the_plain_products(queries, keys, seed):
    query, key, value = (_drawn(seed + i, 3, 2, n, 8) for i, n in enumerate((queries, keys, keys)))
    out = _drawn(seed + 3, 3, 2, queries, 8)

    def loss(parts, logits, mixed):
        query, key, value = parts
        return jnp.sum(mixed(jnp.tanh(logits(query, key)), value) * out)

    def plain_logits(query, key):
        return jnp.einsum("rhik,rhjk->rhij", query, key)

    def plain_mixed(weights, value):
        return jnp.einsum("rhij,rhjk->rhik", weights, value)

    parts = (query, key, value)
    run = jax.jit(jax.value_and_grad(loss), static_argnums=(1, 2))
    found = run(parts, short_products.logits, short_products.mixed)
    wanted = run(parts, plain_logits, plain_mixed)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def _gradient(length):
    """Return a function of query, key and value with gradients of all, and an example of each."""
    x = jnp.zeros((2, length, 2, 8))
    attend = functools.partial(attention.attend_whole, allowed=None, logit_cap=50.0)
    return jax.grad(lambda parts: jnp.sum(attend(*parts))), (x, x, x)


@pytest.mark.parametrize("length", [4, short_products.LONGEST, short_products.LONGEST + 1])
def test_compiled_gradients_of_short_rows_contract_last_axes_only(length):
    run, parts = _gradient(length)
    contracted = re.findall(r"lhs_contracting_dims={(\d)}", jax.jit(run).lower(parts).compile().as_text())
    assert set(contracted) == ({"3"} if length <= short_products.LONGEST else {"2", "3"})


def test_nothing_is_transposed_for_an_accelerator():
    run, parts = _gradient(4)
    with mesh.planned("tpu"):
        assert "optimization_barrier" not in str(jax.make_jaxpr(run)(parts))


def test_gradients_have_the_dtypes_of_their_factors():
    query, key = jnp.ones((1, 2, 4, 8), jnp.bfloat16), jnp.ones((1, 2, 4, 8))
    slopes = jax.grad(lambda parts: jnp.sum(short_products.logits(*parts)))((query, key))
    assert [slope.dtype for slope in slopes] == [jnp.bfloat16, jnp.float32]
