"""Multi-layer attentive pooling (MLAP): a query cross-attends to the last layers of a frozen encoder in turn.

Source: VideoGLUE equation 2 and appendix D: features of the last 4 layers; 4 chained layers of
cross-attention and MLP; the query updated from layer to layer. We interpret the layers as the temporal ones
(`last_layers`).
"""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys, weight_decay
from prismlab.core.nn import layers
from prismlab.experiments.tasks.heads import classifier


class ChainLayer(eqx.Module):
    """Pooling layer: cross-attention from the query to one layer's tokens, then an MLP, both residual."""

    token_norm: layers.LayerNorm
    query_norm: layers.LayerNorm
    attention: layers.Attention
    feed_norm: layers.LayerNorm
    feed: layers.FeedForward

    def __init__(self, dim: int, heads: int, hidden_dim: int, *, key: PRNGKeyArray):
        self.token_norm, self.query_norm = layers.LayerNorm(dim), layers.LayerNorm(dim)
        self.attention = layers.Attention(
            dim, heads, hidden_dim=hidden_dim, logit_cap=0.0, key=keys.fold(key, "attention")
        )
        self.feed_norm = layers.LayerNorm(dim)
        self.feed = layers.FeedForward(dim, 4 * dim, key=keys.fold(key, "feed"))

    def __call__(self, query: Float[Array, "b 1 d"], tokens: Float[Array, "b s d"]) -> Float[Array, "b 1 d"]:
        """Return the updated query."""
        query = query + self.attention(self.query_norm(query), self.token_norm(tokens))
        return query + self.feed(self.feed_norm(query))


class ChainPooler(eqx.Module):
    """Learned query, updated by one `ChainLayer` per encoder layer, followed by a layer norm."""

    query: Float[Array, "1 1 d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    links: list[ChainLayer]
    norm: layers.LayerNorm

    def __init__(self, dim: int, heads: int, hidden_dim: int, count: int, *, key: PRNGKeyArray):
        self.query = layers.lecun_normal(keys.fold(key, "query"), (1, 1, dim), dim)
        self.links = [
            ChainLayer(dim, heads, hidden_dim, key=keys.fold(key, "link", index)) for index in range(count)
        ]
        self.norm = layers.LayerNorm(dim)

    def __call__(self, features: Sequence[Float[Array, "b s d"]]) -> Float[Array, "b d"]:
        """Return one vector per clip; `features` has one entry per `ChainLayer`."""
        query = jax.numpy.broadcast_to(self.query, (features[0].shape[0], *self.query.shape[1:]))
        for link, tokens in zip(self.links, features, strict=True):
            query = link(query, tokens)
        return self.norm(query[:, 0])


class MultiLayerHead(eqx.Module):
    """A `ChainPooler` over the encoder's last layers, then a linear layer."""

    pooler: ChainPooler
    linear: layers.Linear
    dropout: float = eqx.field(static=True)

    def __init__(
        self,
        count: int,
        dim: int,
        classes: int,
        *,
        heads: int,
        hidden_dim: int,
        dropout: float,
        key: PRNGKeyArray,
    ):
        """Initialize the head.

        Args:
            count: number of encoder layers that are read.
            dim: width of their tokens.
            classes: number of outputs.
            heads: attention heads of each pooling layer; divides `hidden_dim`.
            hidden_dim: total width of the heads.
            dropout: fraction of the pooled vector dropped in training, in [0, 1).
            key: a typed JAX key.
        """
        self.pooler = ChainPooler(dim, heads, hidden_dim, count, key=keys.fold(key, "pooler"))
        self.linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))
        self.dropout = dropout

    def __call__(
        self, x: Float[Array, "b layers s d"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits; with a key, apply dropout."""
        pooled = self.pooler([x[:, index] for index in range(x.shape[1])])
        return self.linear(classifier.dropped(pooled, self.dropout, key))
