"""Averages that merge exactly: a total and a count, never a mean of means."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Mean(eqx.Module):
    """A weighted average kept as its total and its count.

    Args:
        total: float32 scalar, sum of weight * value.
        count: float32 scalar, sum of weights.
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def of(cls, values: Float[Array, "*shape"], weights: Float[Array, "*shape"]) -> "Mean":
        """Average values with weights of the same shape; both are summed in float32."""
        weights = weights.astype(jnp.float32)
        # A weight of 0 must silence even a non-finite value, and 0 * nan would not.
        kept = jnp.where(weights > 0, values.astype(jnp.float32), 0.0)
        return cls(jnp.sum(kept * weights), jnp.sum(weights))

    def merge(self, other: "Mean") -> "Mean":
        """Return the average over both groups of examples."""
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> Float[Array, ""]:
        """The average, or 0 when nothing was counted."""
        return jnp.where(self.count > 0, self.total / jnp.where(self.count > 0, self.count, 1.0), 0.0)
