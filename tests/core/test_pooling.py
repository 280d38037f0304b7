"""The pooler looks at a set of tokens."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core import pooling

POOLER = pooling.AttentionPooler(8, 2, key=jax.random.key(0))
X = jax.random.normal(jax.random.key(1), (2, 6, 8))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_tokens_does_not_matter(order):
    np.testing.assert_allclose(POOLER(X[:, jnp.array(order)]), POOLER(X), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 4]))
def test_padding_equals_leaving_out(kept):
    paddings = jnp.broadcast_to((jnp.arange(6) >= kept).astype(jnp.float32), (2, 6))
    np.testing.assert_allclose(POOLER(X, paddings), POOLER(X[:, :kept]), atol=1e-5)


def test_width_of_the_heads_is_four_times_the_tokens_unless_told():
    assert POOLER.attention.query.w.shape == (8, 2, 16)
    narrow = pooling.AttentionPooler(8, 2, 8, key=jax.random.key(0))
    assert narrow.attention.query.w.shape == (8, 2, 4)
    # The per-dimension scale starts as the plain 1 / sqrt(head width).
    np.testing.assert_allclose(POOLER.attention.scaled(jnp.ones((1, 16))), 0.25, atol=1e-6)
