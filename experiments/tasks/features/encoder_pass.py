"""The pass of a frozen encoder over clips, in batches of one compiled shape."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from prismlab.core import errors
from prismlab.experiments.tasks.features import last_layers
from prismlab.experiments.tasks.interface import protocols


class EncoderPass:
    """Encodes views of clips with a frozen video tower.

    Args:
        tower: a video tower: clips [b, t, r, r, 3] in [0, 1] -> Encoded.
        how: the protocol; decides which output is read.
        batch_size: views a batch; the last batch is padded, so that one program is compiled.

    Raises:
        UserError: the protocol asks for an output that the tower does not have.
    """

    def __init__(self, tower: Any, how: protocols.Protocol, batch_size: int = 16):
        if how.pooling == "tower" and getattr(tower, "pooler", None) is None:
            raise errors.UserError(
                "protocol: pooling='tower' needs a tower with a pooler, this one has none; use 'attention' or"
                " 'mean'"
            )
        if how.layers > 1 and (how.pooling != "attention" or not hasattr(tower, "encoder")):
            raise errors.UserError(
                f"protocol: {how.layers} layers need pooling='attention' and a tower with an encoder, got "
                f"pooling={how.pooling!r} and {type(tower).__name__}; use layers=1"
            )
        self.batch_size = batch_size
        arrays, static = eqx.partition(tower, eqx.is_array)

        def encode(arrays: Any, videos: Any) -> Any:
            if how.layers > 1:
                clips = videos.astype(jnp.float32) / 255.0
                several = last_layers.last_layers(how.layers, eqx.combine(arrays, static).encoder, clips)
                return jnp.stack(several, axis=1).astype(jnp.float32)
            found = eqx.combine(arrays, static)(videos.astype(jnp.float32) / 255.0)
            read = found.pooled if how.pooling == "tower" else found.tokens.x
            # numpy and float16 storage follow; statistics of bfloat16 would be wrong.
            read = read.astype(jnp.float32)
            if how.pooling == "frames":
                return _of_frames(read, how).mean(axis=2)
            if how.pooling == "quarters":
                return _quarters(_of_frames(read, how))
            return read.mean(axis=1) if how.pooling == "mean" else read

        self.tower, self.how = tower, how
        self._arrays, self._encode = arrays, jax.jit(encode)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one view: [s, d] or [d]."""
        side = self.how.resolution
        clips = jax.ShapeDtypeStruct((1, self.how.frames, side, side, 3), jnp.uint8)
        return tuple(jax.eval_shape(self._encode, self._arrays, clips).shape[1:])

    def __call__(self, videos: UInt8[np.ndarray, "n t r r 3"]) -> Float32[np.ndarray, "n ..."]:
        """Return the features of each view: [n, s, d] tokens ([n, layers, s, d] of several), or [n, d]."""
        parts = []
        for start in range(0, len(videos), self.batch_size):
            piece = videos[start : start + self.batch_size]
            missing = self.batch_size - len(piece)
            padded = np.concatenate([piece, np.repeat(piece[-1:], missing, 0)]) if missing else piece
            parts.append(np.asarray(self._encode(self._arrays, padded))[: len(piece)])
        return np.concatenate(parts)


def _of_frames(tokens: Float[Array, "b s d"], how: protocols.Protocol) -> Float[Array, "b t n d"]:
    """Return the tokens of each frame."""
    if tokens.shape[1] % how.frames:
        raise errors.UserError(
            f"protocol: pooling={how.pooling!r} needs tokens of each frame, this tower gives "
            f"{tokens.shape[1]} tokens for {how.frames} frames; use 'attention' or 'mean'"
        )
    return tokens.reshape(len(tokens), how.frames, -1, tokens.shape[-1])


def _quarters(tokens: Float[Array, "b t n d"]) -> Float[Array, "b t c"]:
    """Return the means of upper left, upper right, lower left and lower right, beside each other: c = 4 d."""
    b, t, count, d = tokens.shape
    side = math.isqrt(count)
    if side**2 != count or side % 2:
        raise errors.UserError(
            "protocol: pooling='quarters' needs a square grid of tokens of an even side for each frame, this "
            f"tower gives {count} tokens a frame; use 'frames'"
        )
    half = side // 2
    return tokens.reshape(b, t, 2, half, 2, half, d).mean(axis=(3, 5)).reshape(b, t, 4 * d)
