"""Token grid: scatter packed (visible) tokens to grid rows for attention, and gather them back.

Token-wise layers (projections, norms, feed-forward; almost all FLOPs) run on the packed tokens. Only the
attention product uses the grid, in which tokens attend within their row.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Num


class Grid(eqx.Module):
    """Token grid: mapping between packed tokens [b, m, ...] and grid rows [b * rows, columns, ...].

    Args:
        index: int32 [b, m], row * columns + column of each packed token; unique within an example.
        rows: grid rows per example.
        columns: positions per row.
        present: bool [b, m], False for tokens that are masked as keys; None means all True.
    """

    index: Int[Array, "b m"]
    present: Bool[Array, "b m"] | None
    allowed: Bool[Array, "r 1 1 columns"]
    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)

    def __init__(
        self, index: Int[Array, "b m"], rows: int, columns: int, present: Bool[Array, "b m"] | None = None
    ):
        """Store the index and compute the attention mask over grid cells."""
        self.index = index
        self.rows = rows
        self.columns = columns
        self.present = present
        if present is None:
            present = jnp.ones(index.shape, bool)
        self.allowed = self.scatter(present)[:, None, None, :]

    def scatter(self, x: Num[Array, "b m *rest"] | Bool[Array, "b m *rest"]) -> Array:
        """Scatter packed values [b, m, ...] to the grid [b * rows, columns, ...]; empty cells are zero."""

        def one(values: Array, index: Array) -> Array:
            empty = jnp.zeros((self.rows * self.columns, *values.shape[1:]), values.dtype)
            # Unique indices: the gradient is a plain gather, which is deterministic.
            return empty.at[index].set(values, unique_indices=True)

        flat = jax.vmap(one)(x, self.index)
        return flat.reshape(x.shape[0] * self.rows, self.columns, *x.shape[2:])

    def same_row(self) -> Bool[Array, "b 1 m m"]:
        """Return the mask of packed tokens: True where token j is present and in the row of token i."""
        row = self.index // self.columns
        same = row[:, None, :, None] == row[:, None, None, :]
        return same if self.present is None else same & self.present[:, None, None, :]

    def segments(self) -> tuple[Int[Array, "b m"], Int[Array, "b m"]]:
        """Return the segment of each packed token as a query and as a key.

        A query attends to the keys of its segment: the present tokens of its row. Absent tokens form a
        segment of their own, to which the queries of a row without any key belong too.
        """
        row = self.index // self.columns
        if self.present is None:
            return row, row
        has_key = self.allowed.reshape(-1, self.rows, self.columns).any(axis=-1)
        queries = jnp.where(jnp.take_along_axis(has_key, row, axis=1), row, self.rows)
        return queries, jnp.where(self.present, row, self.rows)

    def gather(self, x: Num[Array, "r columns *rest"]) -> Array:
        """Gather packed values [b, m, ...] from the grid [b * rows, columns, ...]."""
        flat = x.reshape(self.index.shape[0], self.rows * self.columns, *x.shape[2:])

        def one(values: Array, index: Array) -> Array:
            return values.at[index].get(unique_indices=True, mode="promise_in_bounds")

        return jax.vmap(one)(flat, self.index)
