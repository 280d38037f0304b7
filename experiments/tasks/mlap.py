"""Multi-layer attentive pooling (MLAP): a query cross-attends to the last layers of a frozen encoder in turn.

Source: VideoGLUE equation 2 and appendix D: features of the last 4 layers; 4 chained layers of
cross-attention and MLP; the query updated from layer to layer. We interpret the layers as the temporal ones.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys, weight_decay
from prismlab.core.nn import layers
from prismlab.core.train import learner
from prismlab.data.loader import source
from prismlab.experiments.tasks import task, tuning


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


def last_layers(count: int, encoder: Any, clips: Float[Array, "b t r r 3"]) -> list[Float[Array, "b s d"]]:
    """Return the output tokens of the last temporal layers; the encoder's final norm is applied to the last.

    Args:
        count: number of layers.
        encoder: the factorised encoder.
        clips: float [b, t, r, r, 3].

    Raises:
        UserError: the temporal stack has fewer layers.
    """
    stack = encoder.temporal
    if not 1 <= count <= stack.count:
        raise errors.UserError(
            f"mlap.MultiLayerProbe.layers must be between 1 and {stack.count}, the number of temporal "
            f"layers; got {count}"
        )
    spatial = encoder.features(clips)[1]
    b, t = clips.shape[:2]
    n = spatial.shape[1] // t
    x = spatial.reshape(b, t, n, -1).swapaxes(1, 2) + encoder.temporal_positions((t,)).astype(spatial.dtype)
    x = x.reshape(b * n, t, -1)
    found = []
    for index in range(stack.count):
        x = jax.tree.map(lambda leaf, index=index: leaf[index], stack.blocks)(x)
        found.append(x)
    found[-1] = encoder.temporal_norm(found[-1])
    return [each.reshape(b, n, t, -1).swapaxes(1, 2).reshape(b, t * n, -1) for each in found[-count:]]


@dataclasses.dataclass(frozen=True)
class MultiLayerProbe:
    """Train a `ChainPooler` on the last layers of a frozen encoder; report the accuracy on test clips.

    Args:
        train: labelled training clips.
        test: labelled test clips from another stream.
        setup: clips, label and training hyperparameters.
        layers: number of last temporal layers to read, 4 in VideoGLUE.
        heads: attention heads of each pooling layer, 12 at base.
        hidden_dim: total width of all heads; None means the token width.
    """

    train: source.Source
    test: source.Source
    setup: tuning.Setup
    layers: int = 4
    heads: int = 12
    hidden_dim: int | None = None

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return the accuracy as <label>_mlap.

        Args:
            towers: frozen encoders; only the encoder of "video" is read.
            seed: seed of initial weights, clip order and dropout.
            cache: directory shared by runs.
        """
        encoder = tuning.encoder_of(towers)
        dim = encoder.temporal_norm.bias.shape[-1]

        def build(classes: int, key: PRNGKeyArray) -> tuple[tuning.Classifier, Any]:
            pooler = ChainPooler(
                dim, self.heads, self.hidden_dim or dim, self.layers, key=keys.fold(key, "pooler")
            )
            linear = layers.Linear(dim, classes, key=keys.fold(key, "linear"))
            read = functools.partial(last_layers, self.layers)
            model = tuning.Classifier(encoder, pooler, linear, read, self.setup.dropout)
            moves = jax.tree.map(eqx.is_inexact_array, model)
            frozen = jax.tree.map(lambda leaf: False, encoder)
            return model, eqx.tree_at(lambda m: m.encoder, moves, frozen)

        pooling = f"multi-layer attentive pooling over the last {self.layers} temporal layers, encoder frozen"
        return tuning.score(self.setup, self.train, self.test, build, "mlap", pooling, seed=seed, cache=cache)
