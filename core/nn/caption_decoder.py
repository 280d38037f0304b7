"""Transformer decoder of captions: causal over the words, with cross-attention to the tokens of a clip."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys, weight_decay
from prismlab.core.nn import layers, transformer_stack


class CrossAttention(eqx.Module):
    """Residual attention from words to the tokens of a clip, with a layer norm before it."""

    norm: layers.LayerNorm
    attention: layers.Attention

    def __init__(self, dim: int, heads: int, *, key: PRNGKeyArray):
        """Initialize the layer; arguments as of `layers.Attention`."""
        self.norm = layers.LayerNorm(dim)
        self.attention = layers.Attention(dim, heads, key=key)

    def __call__(self, words: Float[Array, "b l w"], clip: Float[Array, "b m w"]) -> Float[Array, "b l w"]:
        """Return the words after attending to the clip."""
        return words + self.attention(self.norm(words), clip)


class CaptionDecoder(eqx.Module):
    """Predicts each word of a caption from the words before it and the tokens of a clip.

    The input at a word's place is the encoding of the word before it, and a learnable start vector at the
    first. Each layer attends to the clip, then to the words so far, and has one feed-forward part.

    Args (constructor):
        text_dim: width of the encoded words.
        video_dim: width of the clip's tokens.
        vocabulary: number of token ids.
        transformer: constructor of the Transformer, called with `key`; its width and heads are the decoder's.
        key: JAX key for the initial weights.

    Source: Yu et al. 2022, "CoCa", section 3.2 (multimodal decoder layers with cross-attention on top of a
    causal unimodal text decoder).
    """

    start: Float[Array, " e"] = eqx.field(metadata=weight_decay.UNDECAYED)
    words: layers.Linear
    clip: layers.Linear
    cross: tuple[CrossAttention, ...]
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    head: layers.Linear

    def __init__(
        self,
        text_dim: int,
        video_dim: int,
        vocabulary: int,
        transformer: Callable[..., transformer_stack.Stack],
        *,
        key: PRNGKeyArray,
    ):
        self.transformer = transformer(key=keys.fold(key, "transformer"))
        dim, heads = self.transformer.dim, self.transformer.heads
        self.start = 0.02 * jax.random.normal(keys.fold(key, "start"), (text_dim,))
        self.words = layers.Linear(text_dim, dim, key=keys.fold(key, "words"))
        self.clip = layers.Linear(video_dim, dim, key=keys.fold(key, "clip"))
        self.cross = tuple(
            CrossAttention(dim, heads, key=keys.fold(key, "cross", index))
            for index in range(self.transformer.count)
        )
        self.norm = layers.LayerNorm(dim)
        self.head = layers.Linear(dim, vocabulary, key=keys.fold(key, "head"))

    def __call__(
        self, words: Float[Array, "b l e"], clip: Float[Array, "b m d"]
    ) -> Float[Array, "b l vocabulary"]:
        """Return the logits of each word.

        Args:
            words: encoded words, each from itself and the words before it only.
            clip: tokens of the clip, any float dtype.
        """
        batch, length, _ = words.shape
        first = jnp.broadcast_to(self.start.astype(words.dtype), (batch, 1, words.shape[-1]))
        x = self.words(jnp.concatenate([first, words[:, :-1]], axis=1))
        context = self.clip(clip).astype(x.dtype)
        before = jnp.tril(jnp.ones((1, 1, length, length), bool))
        arrays, static = eqx.partition(self.transformer.blocks, eqx.is_array)
        for index, cross in enumerate(self.cross):
            own = jax.tree.map(lambda leaf, index=index: leaf[index], arrays)
            block: transformer_stack.Block = eqx.combine(own, static)
            x = block(cross(x, context), allowed=before)
        return self.head(self.norm(x))
