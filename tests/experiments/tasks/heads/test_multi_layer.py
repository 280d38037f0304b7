"""Multi-layer attentive pooling reads every layer."""

import jax
import jax.numpy as jnp
import pytest

from prismlab.experiments.tasks.heads import multi_layer


@pytest.mark.long
def test_every_link_of_the_chain_is_read():
    pooler = multi_layer.ChainPooler(8, 2, 8, 2, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 3, 5, 8))
    for slope in jax.jit(jax.grad(lambda parts: pooler(parts)[..., 0].sum()))([x[0], x[1]]):
        assert jnp.abs(slope).sum() > 0
