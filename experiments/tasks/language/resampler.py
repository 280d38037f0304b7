"""Perceiver resampler of one layer: learned latents that attend to the tokens of a clip.

Source: VideoPrism appendix G (one layer, 256 latents, separate norms of queries and keys, keys without
latents, a skip connection on the queries); Alayrac et al. 2022 for the feed-forward layer, which the paper
does not mention.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys, weight_decay
from prismlab.core.nn import layers


class Resampler(eqx.Module):
    """The trained bridge from tokens of a clip to inputs of a language model."""

    latents: Float[Array, "m d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    query_norm: layers.LayerNorm
    key_norm: layers.LayerNorm
    attention: layers.Attention
    mlp_norm: layers.LayerNorm | None
    mlp: layers.FeedForward | None
    out_norm: layers.LayerNorm
    project: layers.Linear
    scale: float = eqx.field(static=True)

    def __init__(
        self, dim: int, width: int, *, latents: int, heads: int, mlp: bool, scale: float, key: PRNGKeyArray
    ):
        """Initialize the bridge.

        Args:
            dim: width of the tokens.
            width: width of the language model's embeddings.
            latents: number of latents, the length of the prefix.
            heads: attention heads; divides `dim`.
            mlp: add a feed-forward layer of 4 * dim with a skip connection.
            scale: root mean square of the language model's embeddings, which the prefix starts with.
            key: a typed JAX key.
        """
        self.latents = layers.lecun_normal(keys.fold(key, "latents"), (latents, dim), 1)
        self.query_norm, self.key_norm = layers.LayerNorm(dim), layers.LayerNorm(dim)
        self.attention = layers.Attention(dim, heads, logit_cap=0.0, key=keys.fold(key, "attention"))
        self.mlp_norm = layers.LayerNorm(dim) if mlp else None
        self.mlp = layers.FeedForward(dim, 4 * dim, key=keys.fold(key, "mlp")) if mlp else None
        self.out_norm = layers.LayerNorm(dim)
        self.project = layers.Linear(dim, width, key=keys.fold(key, "project"))
        self.scale = scale

    def __call__(self, tokens: Float[Array, "b s d"]) -> Float[Array, "b m w"]:
        """Return the prefix for the language model."""
        query = jnp.broadcast_to(self.latents, (len(tokens), *self.latents.shape)).astype(tokens.dtype)
        x = query + self.attention(self.query_norm(query), self.key_norm(tokens))
        if self.mlp is not None and self.mlp_norm is not None:
            x = x + self.mlp(self.mlp_norm(x))
        return self.project(self.out_norm(x)) * self.scale
