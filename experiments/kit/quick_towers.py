"""Towers without a Transformer, which compile at once: for tests of what is around a tower."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from prismlab.core import keys, types
from prismlab.core.nn import layers
from prismlab.core.towers import video_encoder


class Patches(eqx.Module):
    """A tower of clips: each token is its patch times a matrix, plus what is kept of its position.

    The pooled vector is the mean of the tokens. With `place`, only the visible patches are read.
    """

    inputs: ClassVar[tuple[str, ...]] = ("video",)
    pooler: ClassVar[str] = "mean of the tokens"

    projection: layers.Linear
    table: Array
    frames: int = eqx.field(static=True)
    resolution: int = eqx.field(static=True)
    patch: int = eqx.field(static=True)

    def __init__(self, dim: int, frames: int, resolution: int, patch: int, *, key: Any):
        self.projection = layers.Linear(patch * patch * 3, dim, key=keys.fold(key, "projection"))
        shape = (frames * (resolution // patch) ** 2, dim)
        self.table = 0.1 * jax.random.normal(keys.fold(key, "table"), shape)
        self.frames, self.resolution, self.patch = frames, resolution, patch

    @property
    def dim(self) -> int:
        """Width of the tokens."""
        return self.table.shape[-1]

    @property
    def patches(self) -> int:
        """Number of patches of a frame."""
        return (self.resolution // self.patch) ** 2

    def __call__(self, video: Array, place: Array | None = None, tube: bool = False) -> types.Encoded:
        """Return the tokens and their mean."""
        patches = video_encoder.patchify(video, self.patch)
        patches = patches.reshape(len(video), -1, patches.shape[-1])
        if place is None:
            place = jnp.broadcast_to(jnp.arange(patches.shape[1], dtype=jnp.int32), patches.shape[:2])
        kept = jnp.take_along_axis(patches, place[..., None], axis=1)
        spatial = self.projection(kept) + self.table[place]
        x = jnp.tanh(spatial)
        return types.Encoded(tokens=types.Tokens(x, place), pooled=jnp.mean(x, axis=1), spatial=spatial)


class Words(eqx.Module):
    """A tower of captions: the mean of the vectors of its tokens."""

    inputs: ClassVar[tuple[str, ...]] = ("text_ids", "text_paddings")

    token_table: Array

    def __init__(self, dim: int, vocabulary: int, *, key: Any):
        self.token_table = jax.random.normal(key, (vocabulary, dim))

    @property
    def dim(self) -> int:
        """Width of the vector."""
        return self.token_table.shape[-1]

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.token_table.shape[0]

    def __call__(self, text_ids: Array, text_paddings: Array) -> types.Encoded:
        """Return the vectors and their mean."""
        kept = (1.0 - text_paddings)[..., None]
        words = self.token_table[text_ids]
        place = jnp.broadcast_to(jnp.arange(words.shape[1], dtype=jnp.int32), words.shape[:2])
        pooled = jnp.sum(words * kept, axis=1) / jnp.maximum(jnp.sum(kept, axis=1), 1.0)
        return types.Encoded(tokens=types.Tokens(words, place), pooled=pooled)
