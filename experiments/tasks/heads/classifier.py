"""Classifiers on frozen features: attention pooler with a linear layer, or a linear layer alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys
from prismlab.core.nn import layers, pooling


def dropped(x: Float[Array, "b d"], rate: float, key: PRNGKeyArray | None) -> Float[Array, "b d"]:
    """Apply dropout with a key; without one return x."""
    if key is None or not rate:
        return x
    return jnp.where(jax.random.bernoulli(key, 1.0 - rate, x.shape), x / (1.0 - rate), 0.0)


class AttentionHead(eqx.Module):
    """One cross-attention layer with one learned query over all tokens, then a linear layer.

    Source: VideoPrism E.1 (12 heads, width 768, one query token, linear classifier).
    """

    pooler: pooling.AttentionPooler
    linear: layers.Linear
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        heads: int = 12,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """Initialize the head.

        Args:
            dim: width of the tokens.
            classes: number of outputs.
            heads: attention heads; divides `hidden_dim`.
            hidden_dim: total width of the heads; None for `dim` (the paper: 768 for every encoder).
            dropout: fraction of the pooled vector dropped in training, in [0, 1).
            key: a typed JAX key.
        """
        self.pooler = pooling.AttentionPooler(dim, heads, hidden_dim or dim, key=keys.fold(key, "pooler"))
        self.linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))
        self.dropout = dropout

    def __call__(self, x: Float[Array, "b s d"], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits; with a key, apply dropout."""
        return self.read(self.pooler(x), key)

    def read(self, pooled: Float[Array, "b d"], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits of pooled tokens; with a key, apply dropout."""
        return self.linear(dropped(pooled, self.dropout, key))


class LinearHead(eqx.Module):
    """A linear layer on pooled vectors."""

    linear: layers.Linear
    dropout: float = eqx.field(static=True)

    def __init__(self, dim: int, classes: int, *, dropout: float = 0.0, key: PRNGKeyArray):
        """Initialize the head; see `AttentionHead`."""
        self.linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))
        self.dropout = dropout

    def __call__(self, x: Float[Array, "b d"], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits; with a key, apply dropout."""
        return self.linear(dropped(x, self.dropout, key))
