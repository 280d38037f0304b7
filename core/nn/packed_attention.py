"""Self-attention of packed tokens within the rows of their grid: through the grid, or on the packed tokens.

Through the grid, tokens are scattered to rows, attend within their row, and are gathered back: the fewest
products, and the reference. On the packed tokens, every pair of tokens is compared and pairs of different
rows are masked: more products, but no scatters, which move the activations through device memory and cost
an accelerator more than the products. On a TPU a fused kernel does so, which keeps the masked logits in
the chip and so serves short rows too.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prismlab.core.nn import attention, packing, splash_attention
from prismlab.core.parallel import mesh

# Products on the packed tokens, relative to those through the grid, up to which an accelerator prefers them.
MOST_PRODUCTS = 1.2
# Shortest row, in positions: shorter rows waste most of a tile of packed tokens on masked pairs.
SHORTEST_ROW = 128


def favours_packed(layout: packing.Grid) -> bool:
    """Return whether an accelerator attends on the packed tokens, by the shapes alone.

    Args:
        layout: the grid of the tokens.
    """
    tokens = layout.index.shape[1]
    through_grid = layout.rows * layout.columns**2
    return layout.columns >= SHORTEST_ROW and tokens**2 <= MOST_PRODUCTS * through_grid


def favours_fused(layout: packing.Grid) -> bool:
    """Return whether a TPU attends on the packed tokens with its fused kernel, by the shapes alone.

    Both halves of a factorised encoder get the same answer, that of the one with the longer rows.

    Args:
        layout: the grid of the tokens.
    """
    longer = max(layout.rows, layout.columns)
    most = MOST_PRODUCTS * layout.rows * layout.columns * longer
    return longer >= SHORTEST_ROW and layout.index.shape[1] ** 2 <= most


def positions(layout: packing.Grid, heads: int, width: int) -> int:
    """Return the number of positions that queries, keys and values should have for `attend`.

    In a program for a TPU they are the tokens padded to whole blocks of the kernel. A caller that pads its
    tokens before it projects them spares the kernel a copy of each array that it reads and writes.

    Args:
        layout: the grid of the tokens.
        heads: number of attention heads.
        width: head width.
    """
    examples, tokens = layout.index.shape
    shape = (examples, tokens, heads, width)
    if mesh.platform() == "tpu" and favours_fused(layout) and splash_attention.takes(shape, tokens):
        return splash_attention.padded_length(tokens)
    return tokens


def attend(
    query: Float[Array, "b p h k"],
    key: Float[Array, "b p h k"],
    value: Float[Array, "b p h k"],
    layout: packing.Grid,
    logit_cap: float,
) -> Float[Array, "b p h k"]:
    """Attend within the rows of a grid, in the way that suits the platform the program is compiled for.

    Args:
        query: [examples, positions, heads, head width], already scaled; the positions are the packed tokens,
            and may end in the padding of `positions`, whose values have no meaning.
        key: the same shape.
        value: the same shape.
        layout: the grid of the tokens.
        logit_cap: see `attention.attend`.

    Returns:
        The attention output of each packed token, in value's dtype. The output of a token whose row has no
        key that may be attended to has no meaning, and differs between the two ways.
    """
    if query.shape[1] > layout.index.shape[1]:
        return in_fused_kernel(query, key, value, layout, logit_cap)
    elsewhere = on_packed_tokens if favours_packed(layout) else through_grid
    ways: dict[str, Callable[..., Array]] = {"cpu": through_grid, "default": elsewhere}
    if favours_fused(layout) and splash_attention.takes(query.shape, key.shape[1]):
        ways["tpu"] = in_fused_kernel
    if set(ways.values()) == {through_grid}:
        return through_grid(query, key, value, layout, logit_cap)
    with_cap = {platform: functools.partial(way, logit_cap=logit_cap) for platform, way in ways.items()}
    out: Array = jax.lax.platform_dependent(query, key, value, layout, **with_cap)
    return out


def through_grid(
    query: Float[Array, "b m h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h k"],
    layout: packing.Grid,
    logit_cap: float,
) -> Float[Array, "b m h k"]:
    """Scatter the tokens to the grid, attend within its rows, gather them back; arguments as in `attend`."""
    query, key, value = (layout.scatter(part) for part in (query, key, value))
    return layout.gather(attention.attend(query, key, value, layout.allowed, logit_cap))


def on_packed_tokens(
    query: Float[Array, "b m h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h k"],
    layout: packing.Grid,
    logit_cap: float,
) -> Float[Array, "b m h k"]:
    """Attend between all packed tokens with pairs of other rows masked; arguments as in `attend`."""
    return attention.attend(query, key, value, layout.same_row(), logit_cap)


def in_fused_kernel(
    query: Float[Array, "b p h k"],
    key: Float[Array, "b p h k"],
    value: Float[Array, "b p h k"],
    layout: packing.Grid,
    logit_cap: float,
    *,
    interpret: bool = False,
) -> Float[Array, "b p h k"]:
    """Attend between packed tokens in the kernel of `splash_attention`, whose segments are the rows.

    Arguments as in `attend`; interpret: see `splash_attention.attend`.
    """
    extra = query.shape[1] - layout.index.shape[1]
    queries, keys = (
        jnp.pad(ids, ((0, 0), (0, extra)), constant_values=splash_attention.PADDING)
        for ids in layout.segments()
    )
    segments = queries, keys
    return splash_attention.attend(query, key, value, logit_cap, segments, interpret=interpret)
