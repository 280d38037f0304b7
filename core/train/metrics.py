"""Weighted means that merge exactly, stored as total and count."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Mean(eqx.Module):
    """Weighted mean, stored as total and count.

    Args:
        total: float32 scalar, sum of weight * value.
        count: float32 scalar, sum of weights.
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def of(cls, values: Float[Array, "*shape"], weights: Float[Array, "*shape"]) -> "Mean":
        """Create a mean from values and weights of the same shape; sums are float32."""
        weights = weights.astype(jnp.float32)
        # Weight 0 must exclude non-finite values too; 0 * nan would be nan.
        kept = jnp.where(weights > 0, values.astype(jnp.float32), 0.0)
        return cls(jnp.sum(kept * weights), jnp.sum(weights))

    def merge(self, other: "Mean") -> "Mean":
        """Return the mean over both groups of examples."""
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> Float[Array, ""]:
        """The mean, or 0 if the count is 0."""
        return jnp.where(self.count > 0, self.total / jnp.where(self.count > 0, self.count, 1.0), 0.0)
