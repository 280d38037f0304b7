"""The pooler looks at a set of tokens."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import pooling

X = np.random.default_rng(1).normal(size=(2, 6, 8)).astype(np.float32)
CALL = jax.jit(lambda x, paddings=None: pooler()(x, paddings))


@functools.cache
def pooler():
    with jax.ensure_compile_time_eval():
        return pooling.AttentionPooler(8, 2, key=jax.random.key(0))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_tokens_does_not_matter(order):
    np.testing.assert_allclose(CALL(X[:, order]), CALL(X), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 4]))
def test_padding_equals_leaving_out(kept):
    paddings = np.broadcast_to((np.arange(6) >= kept).astype(np.float32), (2, 6))
    np.testing.assert_allclose(CALL(X, paddings), CALL(X[:, :kept]), atol=1e-5)


def _trained(random):
    # Biases and scales are zero and one at first; a trained pooler's are not.
    draw = lambda leaf: leaf + np.float32(0.3) * random.normal(size=leaf.shape).astype(np.float32)
    arrays, static = eqx.partition(pooler(), eqx.is_array)
    return eqx.combine(jax.tree.map(draw, arrays), static)


@eqx.filter_jit
def _both(trained, x):
    query = jnp.broadcast_to(trained.query, (x.shape[0], *trained.query.shape))
    return trained(x), trained.norm(trained.attention(query, x))[:, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.sampled_from([0.1, 1.0, 3.0]))
def test_keys_and_values_need_not_be_formed(seed, scale):
    random = np.random.default_rng(seed)
    x = scale * random.normal(size=(3, 5, 8)).astype(np.float32)
    short, plain = _both(_trained(random), jnp.asarray(x))
    np.testing.assert_allclose(short, plain, atol=1e-5, rtol=1e-5)


def test_width_of_the_heads_is_four_times_the_tokens_unless_told():
    assert pooler().attention.query.w.shape == (8, 2, 16)
    narrow = pooling.AttentionPooler(8, 2, 8, key=jax.random.key(0))
    assert narrow.attention.query.w.shape == (8, 2, 4)
    # The per-dimension scale starts as the plain 1 / sqrt(head width).
    np.testing.assert_allclose(pooler().attention.scaled(jnp.ones((1, 16))), 0.25, atol=1e-6)
