"""Queue of vectors of past batches, owned by an objective as state that no gradient trains.

Source: He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning".
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prismlab.core import errors


class Queue(eqx.Module):
    """The newest vectors of past batches, newest batch first; entries are empty until batches fill them.

    An objective holds it in a field marked with `objective_state.STATE` and replaces it by `pushed` in
    `advanced`.

    Args (constructor):
        length: number of vectors, at least the batch size.
        dim: width of a vector.
    """

    vectors: Float[Array, "n d"]
    present: Float[Array, " n"]  # 0.0 for empty entries and padding examples

    def __init__(self, length: int, dim: int):
        if length < 1:
            raise errors.UserError(f"a queue must have at least 1 entry, got {length}")
        self.vectors, self.present = jnp.zeros((length, dim)), jnp.zeros(length)

    @property
    def length(self) -> int:
        """Number of entries."""
        return self.vectors.shape[0]

    def check(self, batch_size: int) -> None:
        """Check that a batch fits and that one process holds all of it.

        Raises:
            UserError: the queue is shorter than the batch, or there are several hosts.
        """
        if self.length < batch_size:
            raise errors.UserError(
                f"a queue of {self.length} entries is shorter than the batch of {batch_size}; use at least "
                f"{batch_size}"
            )
        if jax.process_count() > 1:
            raise errors.UserError(
                f"a queue works on one host, found {jax.process_count()}; drop the queue, since the batch of "
                "several hosts has many negatives"
            )

    def pushed(self, vectors: Float[Array, "b d"], weight: Float[Array, " b"]) -> "Queue":
        """Return the queue with a batch in front and without its oldest entries.

        Args:
            vectors: any float dtype, at most `length` rows.
            weight: float32 [b], 0.0 for padding examples, which become empty entries.
        """
        rows = jnp.concatenate([jax.lax.stop_gradient(vectors).astype(jnp.float32), self.vectors])
        present = jnp.concatenate([(weight > 0).astype(jnp.float32), self.present])
        kept = (rows[: self.length], present[: self.length])
        changed: Queue = eqx.tree_at(lambda own: (own.vectors, own.present), self, kept)
        return changed
