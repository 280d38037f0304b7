"""Scaled dot-product attention with logit capping: dense, memory-efficient (chunked) or a fused kernel.

The auxiliary layers of the video-text model attend over all t * n tokens: 4096 * 4096 logits per head at 16
frames, 805 MB per example in float32. For long rows the full logit matrix is never materialized, in the
forward or the backward pass.
"""

import functools
import importlib.util
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from prismlab.core.nn import short_products, splash_attention
from prismlab.core.parallel import mesh as meshes

# Logit of masked keys. Finite, so that a fully masked row returns the mean value instead of NaN.
MASKED_LOGIT = -0.7 * float(np.finfo(np.float32).max)
# Logits per head (queries * keys) from which the chunked or fused path is used (1024 * 1024).
LONG = 2**20
# Maximum logits per chunk on a CPU, over all rows and heads: 64 MiB in float32.
PIECE = 2**24
# The same on an accelerator, over the rows and heads of one device: every chunk reads all keys and values
# from device memory again, so chunks are as large as memory allows.
ACCELERATOR_PIECE = 2**29
FEWEST_QUERIES, MOST_QUERIES = 16, 512


def attend(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Dot-product attention: softmax(cap(query · key)) · value, for a query that is already scaled.

    A program compiled for a TPU uses the fused kernel of `splash_attention` for rows of at least
    `splash_attention.SHORTEST` positions that it takes; everything else is `attend_plain`.

    Args:
        query: [rows, query positions, heads, head width], already scaled.
        key: [rows, key positions, heads, head width].
        value: [rows, key positions, heads, head width].
        allowed: attention mask, True where query i may attend to key j; None allows all.
        logit_cap: logits become cap * tanh(logits / cap) before masking; 0 means no cap.

    Returns:
        The attention output, in value's dtype.

    Source: public release, layers.py; the cap is `atten_logit_cap` = 50.
    """
    plain = functools.partial(attend_plain, allowed=allowed, logit_cap=logit_cap)
    if not splash_attention.takes(query.shape, key.shape[1], masked=allowed is not None):
        return plain(query, key, value)
    fused = functools.partial(splash_attention.attend, logit_cap=logit_cap)
    out: Array = jax.lax.platform_dependent(query, key, value, tpu=fused, default=plain)
    return out


def attend_plain(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Attention without a TPU kernel: same result as `attend`.

    Below LONG logits per head the dense implementation is used. Above, tokamax's fused kernel is used on a
    GPU if the package is installed, and the chunked implementation otherwise.
    """
    if query.shape[1] * key.shape[1] < LONG:
        return attend_whole(query, key, value, allowed, logit_cap)
    if fused_kernel_at_hand():
        return attend_fused(query, key, value, allowed, logit_cap)
    return attend_in_pieces(query, key, value, allowed, logit_cap)


def attend_whole(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Dense attention: same result as `attend`, with all logits in memory at once."""
    # Heads before positions: bitwise identical, and the forward pass takes half to three quarters of the time
    # on a CPU.
    query, key, value = (part.swapaxes(1, 2) for part in (query, key, value))
    logits = short_products.logits(query, key)
    if logit_cap > 0.0:
        logits = logit_cap * jnp.tanh(logits / logit_cap)
    logits = logits.astype(jnp.float32)
    if allowed is not None:
        logits = jnp.where(allowed, logits, MASKED_LOGIT)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return short_products.mixed(weights, value).swapaxes(1, 2)


def queries_a_piece(rows: int, heads: int, keys: int, budget: int = PIECE) -> int:
    """Return the number of queries per chunk: at most `budget` logits a chunk if possible."""
    return max(FEWEST_QUERIES, min(MOST_QUERIES, budget // (rows * heads * keys)))


def sizes_of_pieces(rows: int, length: int, heads: int, keys: int) -> tuple[int, int]:
    """Return the number of queries per chunk on a CPU and on an accelerator.

    Args:
        rows: rows of the global array; on an accelerator only those of one device of the current mesh count.
        length: query positions.
        heads: number of attention heads, likewise.
        keys: key positions.
    """
    mesh = jax.sharding.get_abstract_mesh()
    own_rows, own_heads = rows, heads
    if not mesh.empty:
        own_rows = max(1, rows // meshes.batch_shards(mesh))
        own_heads = max(1, heads // mesh.shape.get("model", 1))
    on_cpu = queries_a_piece(rows, heads, keys)
    on_accelerator = queries_a_piece(own_rows, own_heads, keys, ACCELERATOR_PIECE)
    return min(length, on_cpu), min(length, on_accelerator)


def attend_in_pieces(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
    size: int | None = None,
) -> Float[Array, "r i h k"]:
    """Memory-efficient attention: process queries in chunks and rematerialize logits in the backward pass.

    Each chunk sees all keys, so this is an ordinary softmax; results differ from `attend_whole` only by
    floating-point rounding.

    Args:
        query: see `attend`.
        key: see `attend`.
        value: see `attend`.
        allowed: see `attend`.
        logit_cap: see `attend`.
        size: queries per chunk; None takes that of `sizes_of_pieces` for the platform that the program is
            compiled for.
    """
    rows, length, heads, width = query.shape
    if size is None:
        on_cpu, on_accelerator = sizes_of_pieces(rows, length, heads, key.shape[1])
        if on_cpu != on_accelerator:
            by_size: Callable[..., Array] = functools.partial(attend_in_pieces, logit_cap=logit_cap)
            chosen: Array = jax.lax.platform_dependent(
                query,
                key,
                value,
                allowed,
                cpu=functools.partial(by_size, size=on_cpu),
                default=functools.partial(by_size, size=on_accelerator),
            )
            return chosen
        size = on_cpu
    size = min(length, size)
    count = -(-length // size)
    # Pad the queries with zeros to whole chunks; their outputs are discarded.
    padded = jnp.pad(query, ((0, 0), (0, count * size - length), (0, 0), (0, 0)))
    pieces = padded.reshape(rows, count, size, heads, width).swapaxes(0, 1)
    own = None
    if allowed is not None and allowed.shape[2] != 1:
        filled = jnp.pad(allowed, ((0, 0), (0, 0), (0, count * size - length), (0, 0)))
        own = jnp.moveaxis(filled.reshape(filled.shape[0], 1, count, size, filled.shape[-1]), 2, 0)

    # Rematerialize each chunk inside the scan: only queries, keys and values are saved for the backward pass.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(piece: tuple[Array, Array | None]) -> Array:
        part, seen = piece
        return attend_whole(part, key, value, allowed if seen is None else seen, logit_cap)

    out: Array = jax.lax.map(one, (pieces, own))
    return out.swapaxes(0, 1).reshape(rows, count * size, heads, value.shape[-1])[:, :length]


@functools.cache
def fused_kernel_at_hand() -> bool:
    """True if the backend is a GPU and tokamax is installed (extra `gpu`)."""
    return jax.default_backend() == "gpu" and importlib.util.find_spec("tokamax") is not None


def attend_fused(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Fused attention with tokamax, excluding its implementation that materializes all logits."""
    import tokamax  # slow import (two seconds)

    out: Array = tokamax.dot_product_attention(
        query,
        key,
        value,
        scale=1.0,  # the query is already scaled
        mask=allowed,
        logits_soft_cap=logit_cap or None,
        implementation=("mosaic", "triton", "xla_chunked"),
    )
    return out
