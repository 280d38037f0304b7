"""Decoder of the Llama family: RMS norm, rotary positions, grouped queries, gated feed-forward layers.

One implementation for small models that are trained here and for weights that are read from files. Layers are
stacked on a leading axis and scanned. Kernels are stored as [outputs, inputs], as in weight files.

Source: Touvron et al. 2023; Ainslie et al. 2023 (grouped queries); Su et al. 2021 (rotary positions).
"""

import dataclasses
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a decoder.

    Args:
        vocabulary: number of ids.
        width: width of an embedding.
        layers: number of layers.
        heads: query heads.
        kv_heads: key and value heads; divide `heads`.
        head_width: width of a head, even.
        mlp_width: inner width of the feed-forward layers.
        context: largest number of positions.
        rope_base: base of the rotary angles.
        epsilon: of the RMS norm.
        interleaved: rotary pairs are channels (2i, 2i + 1), as in GGUF files, whose converter permutes the
            rows of queries and keys; False for (i, i + half), as in Hugging Face files.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5
    interleaved: bool = True

    def __post_init__(self) -> None:
        counts = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in ("rope_base", "epsilon", "interleaved")
        }
        small = [f"{name}={value}" for name, value in counts.items() if value < 1]
        if small or self.heads % self.kv_heads or self.head_width % 2:
            raise errors.UserError(
                "language model: expected sizes of 1 or more, heads divisible by kv_heads and an even "
                f"head_width, got {', '.join(f'{name}={value}' for name, value in counts.items())}"
            )
        if not (0 < self.rope_base < math.inf and 0 < self.epsilon < 1):
            raise errors.UserError(
                f"language model: expected rope_base > 0 and epsilon in (0, 1), got {self.rope_base} and "
                f"{self.epsilon}"
            )

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape of each array of `Layers` for one layer."""
        queries, pairs = self.heads * self.head_width, self.kv_heads * self.head_width
        return {
            "attention_norm": (self.width,),
            "query": (queries, self.width),
            "key": (pairs, self.width),
            "value": (pairs, self.width),
            "output": (self.width, queries),
            "mlp_norm": (self.width,),
            "gate": (self.mlp_width, self.width),
            "up": (self.mlp_width, self.width),
            "down": (self.width, self.mlp_width),
        }

    def numbers(self, tied: bool = True) -> int:
        """Return the number of parameters."""
        one = sum(math.prod(shape) for shape in self.arrays().values())
        return self.layers * one + self.width + self.vocabulary * self.width * (1 if tied else 2)


class Layers(eqx.Module):
    """Arrays of the layers, stacked on a leading axis."""

    attention_norm: Float[Array, "*l d"]
    query: Float[Array, "*l q d"]
    key: Float[Array, "*l p d"]
    value: Float[Array, "*l p d"]
    output: Float[Array, "*l d q"]
    mlp_norm: Float[Array, "*l d"]
    gate: Float[Array, "*l f d"]
    up: Float[Array, "*l f d"]
    down: Float[Array, "*l d f"]


class Cache(eqx.Module):
    """Keys and values of the positions so far.

    Args:
        keys, values: [layers, b, capacity, kv heads, head width].
        mask: [b, capacity], True at positions that are filled and no padding.
        length: number of positions that are filled, padding included.
    """

    keys: Float[Array, "l b m p k"]
    values: Float[Array, "l b m p k"]
    mask: Bool[Array, "b m"]
    length: Int[Array, ""]


def rms_norm(x: Float[Array, "*r d"], scale: Float[Array, " d"], epsilon: float) -> Float[Array, "*r d"]:
    """Divide by the root mean square of the last axis, computed in float32, and scale."""
    wide = x.astype(jnp.float32)
    normed = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + epsilon)
    return normed.astype(x.dtype) * scale.astype(x.dtype)


def rotate(
    x: Float[Array, "b n h k"], positions: Int[Array, "b n"], base: float, interleaved: bool
) -> Float[Array, "b n h k"]:
    """Rotate pairs of channels by their position times base^(-2i / k)."""
    half = x.shape[-1] // 2
    rates = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None, None].astype(jnp.float32) * rates
    sine, cosine = jnp.sin(angles), jnp.cos(angles)
    wide = x.astype(jnp.float32)
    if interleaved:
        first, second = wide[..., 0::2], wide[..., 1::2]
    else:
        first, second = wide[..., :half], wide[..., half:]
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    joined = jnp.stack(turned, axis=-1).reshape(x.shape) if interleaved else jnp.concatenate(turned, axis=-1)
    return joined.astype(x.dtype)


def _times(x: Float[Array, "b n i"], kernel: Float[Array, "o i"]) -> Float[Array, "b n o"]:
    # No transpose of the kernel: it would be kept for the backward pass, a second copy of all weights.
    rows = x.reshape(-1, x.shape[-1])
    made = jax.lax.dot_general(rows, kernel.astype(x.dtype), (((1,), (1,)), ((), ())))
    return made.reshape(*x.shape[:-1], kernel.shape[0])


class Llama(eqx.Module):
    """A decoder; see `frozen_model.Decoder`. Activations have the number type of the embeddings."""

    embedding: Float[Array, "v d"]
    layers: Layers
    norm: Float[Array, " d"]
    head: Float[Array, "v d"] | None
    shape: Shape = eqx.field(static=True)
    remat: bool = eqx.field(static=True, default=True)

    @classmethod
    def random(cls, shape: Shape, *, remat: bool = False, key: PRNGKeyArray) -> "Llama":
        """Return a decoder with random weights and tied embeddings.

        Args:
            shape: its sizes.
            remat: recompute each layer in the backward pass instead of keeping its activations.
            key: a typed JAX key.
        """
        made = {}
        for name, size in shape.arrays().items():
            if len(size) == 1:
                made[name] = jnp.ones((shape.layers, *size))
                continue
            # Outputs that are added to the residual stream start smaller.
            scale = (2 * shape.layers) ** -0.5 if name in ("output", "down") else 1.0
            whole = (shape.layers, *size)
            made[name] = layers.lecun_normal(keys.fold(key, name), whole, size[1], scale)
        embedding = layers.lecun_normal(
            keys.fold(key, "embedding"), (shape.vocabulary, shape.width), shape.width
        )
        return cls(embedding, Layers(**made), jnp.ones(shape.width), None, shape, remat)

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return self.shape.width

    @property
    def vocabulary(self) -> int:
        """Number of ids."""
        return self.shape.vocabulary

    @property
    def context(self) -> int:
        """Largest number of positions."""
        return self.shape.context

    def embed(self, ids: Int[Array, "b n"]) -> Float[Array, "b n d"]:
        """Return the embeddings of ids."""
        return self.embedding[ids]

    def empty_cache(self, batch: int, capacity: int) -> Cache:
        """Return a cache without positions."""
        shape = self.shape
        size = (shape.layers, batch, capacity, shape.kv_heads, shape.head_width)
        dtype = self.embedding.dtype
        empty = jnp.zeros((batch, capacity), bool)
        return Cache(jnp.zeros(size, dtype), jnp.zeros(size, dtype), empty, jnp.zeros((), jnp.int32))

    def logits(
        self,
        embeddings: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        cache: Cache | None = None,
        *,
        last: int | None = None,
    ) -> tuple[Float[Array, "b m v"], Cache]:
        """Return the logits of the next id and the cache; see `frozen_model.Decoder`."""
        batch, count, _ = embeddings.shape
        cache = self.empty_cache(batch, count) if cache is None else cache
        before = jnp.sum(cache.mask, axis=1, keepdims=True)
        positions = jnp.maximum(before + jnp.cumsum(mask, axis=1) - 1, 0)
        seen = jax.lax.dynamic_update_slice(cache.mask, mask, (0, cache.length))
        places = cache.length + jnp.arange(count)
        causal = jnp.arange(seen.shape[1])[None, :] <= places[:, None]
        allowed = causal[None] & seen[:, None, :]
        one: Any = functools.partial(self._layer, positions=positions, allowed=allowed, start=cache.length)
        one = jax.checkpoint(one) if self.remat else one
        x, (keys_, values) = jax.lax.scan(one, embeddings, (self.layers, cache.keys, cache.values))
        x = rms_norm(x if last is None else x[:, count - last :], self.norm, self.shape.epsilon)
        kernel = self.embedding if self.head is None else self.head
        logits = _times(x, kernel).astype(jnp.float32)
        return logits, Cache(keys_, values, seen, cache.length + count)

    def _layer(
        self, x: Array, one: tuple[Layers, Array, Array], *, positions: Array, allowed: Array, start: Array
    ) -> tuple[Array, tuple[Array, Array]]:
        part, keys_, values = one
        shape = self.shape
        normed = rms_norm(x, part.attention_norm, shape.epsilon)

        def split(kernel: Array) -> Array:
            return _times(normed, kernel).reshape(*x.shape[:2], -1, shape.head_width)

        def turn(y: Array) -> Array:
            return rotate(y, positions, shape.rope_base, shape.interleaved)

        def put(kept: Array, new: Array) -> Array:
            return jax.lax.dynamic_update_slice(kept, new.astype(kept.dtype), (0, start, 0, 0))

        query = turn(split(part.query))
        keys_, values = put(keys_, turn(split(part.key))), put(values, split(part.value))
        mixed = attend(query, keys_.astype(x.dtype), values.astype(x.dtype), allowed)
        x = x + _times(mixed, part.output)
        normed = rms_norm(x, part.mlp_norm, shape.epsilon)
        hidden = jax.nn.silu(_times(normed, part.gate)) * _times(normed, part.up)
        return x + _times(hidden, part.down), (keys_, values)


def attend(
    query: Float[Array, "b n h k"],
    key: Float[Array, "b m p k"],
    value: Float[Array, "b m p k"],
    allowed: Bool[Array, "b n m"],
) -> Float[Array, "b n d"]:
    """Attention of groups of query heads that share a key head; the softmax runs in float32."""
    batch, count, heads, width = query.shape
    grouped = query.reshape(batch, count, key.shape[2], -1, width) * width**-0.5
    scores: Any = jnp.einsum("bnpgk,bmpk->bpgnm", grouped, key).astype(jnp.float32)
    scores = jnp.where(allowed[:, None, None], scores, layers.MASKED_LOGIT)
    shares = jax.nn.softmax(scores, axis=-1).astype(query.dtype)
    mixed = jnp.einsum("bpgnm,bmpk->bnpgk", shares, value)
    return mixed.reshape(batch, count, heads * width)
