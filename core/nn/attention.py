"""The attention product: whole for short rows, in pieces or by a fused kernel for long ones.

The auxiliary layers of the video-text model look at all t * n tokens at once: 4096 * 4096 logits a head at 16
frames, 805 MB an example in float32 before any copy. Long rows therefore never hold that matrix, forwards
or backwards.
"""

import functools
import importlib.util

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# A finite stand-in for minus infinity: a row with nothing to attend to gives a mean, never a NaN.
MASKED_LOGIT = -0.7 * float(jnp.finfo(jnp.float32).max)
# Logits of one head, queries * keys, from which on the matrix is never formed whole (1024 * 1024).
LONG = 2**20
# Logits of all rows and heads together that one piece may hold: 64 MiB in float32.
PIECE = 2**24
FEWEST_QUERIES, MOST_QUERIES = 16, 512


def attend(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Return softmax(cap(query · key)) · value; the query arrives already scaled.

    How it is computed depends on the shapes alone (and, for long rows, on the machine): whole below LONG
    logits a head; above, by tokamax's fused kernel on a GPU where that package is installed, else in pieces.

    Args:
        query: rows of i places, heads, head width.
        key: rows of j places.
        value: rows of j places.
        allowed: True where place i may look at place j; None allows all.
        logit_cap: logits become cap * tanh(logits / cap) before masking; 0 means no cap.

    Returns:
        The attended values, in value's dtype.

    Source: public release, layers.py; the cap is `atten_logit_cap` = 50.
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
    """Return what `attend` does, with all logits in memory at once."""
    # Heads before places: the same bits, and forwards in half to three quarters of the time on a CPU; with
    # gradients short rows became slower (records, 2026-11-24).
    query, key, value = (part.swapaxes(1, 2) for part in (query, key, value))
    logits = jnp.einsum("rhik,rhjk->rhij", query, key)
    if logit_cap > 0.0:
        logits = logit_cap * jnp.tanh(logits / logit_cap)
    logits = logits.astype(jnp.float32)
    if allowed is not None:
        logits = jnp.where(allowed, logits, MASKED_LOGIT)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return jnp.einsum("rhij,rhjk->rhik", weights, value).swapaxes(1, 2)


def queries_a_piece(rows: int, heads: int, keys: int) -> int:
    """Return how many queries one piece holds, so that its logits fit PIECE where that is possible."""
    return max(FEWEST_QUERIES, min(MOST_QUERIES, PIECE // (rows * heads * keys)))


def attend_in_pieces(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
    size: int | None = None,
) -> Float[Array, "r i h k"]:
    """Return what `attend` does, a few queries at a time; the backward pass computes their logits again.

    Each query sees all its keys inside one piece, so the softmax is the plain one and no number changes
    but by the rounding of matrix products of another height.

    Args:
        query: as in `attend`, like the next four.
        key: see there.
        value: see there.
        allowed: see there.
        logit_cap: see there.
        size: queries a piece; None chooses it by PIECE.
    """
    rows, length, heads, width = query.shape
    size = min(length, size or queries_a_piece(rows, heads, key.shape[1]))
    count = -(-length // size)
    # Queries beyond the end are zeros; what comes out for them is cut off.
    padded = jnp.pad(query, ((0, 0), (0, count * size - length), (0, 0), (0, 0)))
    pieces = padded.reshape(rows, count, size, heads, width).swapaxes(0, 1)
    own = None
    if allowed is not None and allowed.shape[2] != 1:
        filled = jnp.pad(allowed, ((0, 0), (0, 0), (0, count * size - length), (0, 0)))
        own = jnp.moveaxis(filled.reshape(filled.shape[0], 1, count, size, filled.shape[-1]), 2, 0)

    # nothing_saveable and the scan around it: only queries, keys and values outlive a piece.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(piece: tuple[Array, Array | None]) -> Array:
        part, seen = piece
        return attend_whole(part, key, value, allowed if seen is None else seen, logit_cap)

    out = jax.lax.map(one, (pieces, own))
    return out.swapaxes(0, 1).reshape(rows, count * size, heads, value.shape[-1])[:, :length]


@functools.cache
def fused_kernel_at_hand() -> bool:
    """Return whether long rows go to tokamax: a GPU, and the package is installed (extra `gpu`)."""
    return jax.default_backend() == "gpu" and importlib.util.find_spec("tokamax") is not None


def attend_fused(
    query: Float[Array, "r i h k"],
    key: Float[Array, "r j h k"],
    value: Float[Array, "r j h k"],
    allowed: Bool[Array, "#r 1 #i j"] | None,
    logit_cap: float,
) -> Float[Array, "r i h k"]:
    """Return what `attend` does, by a kernel of tokamax; never by its way that forms the matrix whole."""
    import tokamax  # two seconds, paid only where it is used

    return tokamax.dot_product_attention(
        query,
        key,
        value,
        scale=1.0,  # the query arrives scaled
        mask=allowed,
        logits_soft_cap=logit_cap or None,
        implementation=("mosaic", "triton", "xla_chunked"),
    )
