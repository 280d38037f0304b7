"""Where packed tokens stand on a grid whose rows attend separately.

Token-wise work (projections, norms, feed-forward: almost all of the cost) runs on the packed tokens;
only the attention product needs to know which tokens share a row.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Num


class Grid(eqx.Module):
    """A map between packed tokens [b, m, ...] and rows of a grid [b * rows, columns, ...].

    Args:
        index: int32 [b, m], row * columns + column of every packed token; distinct inside an example.
        rows: rows of one example's grid.
        columns: places in a row.
        present: bool [b, m], False for tokens that nobody may look at; None means all True.
    """

    index: Int[Array, "b m"]
    allowed: Bool[Array, "r 1 1 columns"]
    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)

    def __init__(
        self, index: Int[Array, "b m"], rows: int, columns: int, present: Bool[Array, "b m"] | None = None
    ):
        """Note which grid cells hold a token that may be looked at."""
        self.index = index
        self.rows = rows
        self.columns = columns
        if present is None:
            present = jnp.ones(index.shape, bool)
        self.allowed = self.scatter(present)[:, None, None, :]

    def scatter(self, x: Num[Array, "b m *rest"] | Bool[Array, "b m *rest"]) -> Array:
        """Lay packed values [b, m, ...] on the grid [b * rows, columns, ...]; empty cells are zero."""

        def one(values: Array, index: Array) -> Array:
            empty = jnp.zeros((self.rows * self.columns, *values.shape[1:]), values.dtype)
            # Distinct indices: the gradient is a plain gather, the same bits on every run.
            return empty.at[index].set(values, unique_indices=True)

        flat = jax.vmap(one)(x, self.index)
        return flat.reshape(x.shape[0] * self.rows, self.columns, *x.shape[2:])

    def gather(self, x: Num[Array, "r columns *rest"]) -> Array:
        """Pick the packed values [b, m, ...] off the grid [b * rows, columns, ...]."""
        flat = x.reshape(self.index.shape[0], self.rows * self.columns, *x.shape[2:])

        def one(values: Array, index: Array) -> Array:
            return values.at[index].get(unique_indices=True, mode="promise_in_bounds")

        return jax.vmap(one)(flat, self.index)
