"""What heads are trained on: one label, any number of labels, or one label of each of several sets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from prismlab.experiments.tasks.interface import items


@dataclasses.dataclass(frozen=True)
class Targets:
    """Labels of training items, with the loss and the probabilities that belong to them.

    Args:
        array: int64 [n, sets] labels within each set, or float32 [n, c] multi-hot labels.
        bounds: first class and end of each set in the logits; () for multi-hot labels.
    """

    array: np.ndarray
    bounds: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, found: items.ItemSet) -> "Targets":
        """Return the targets of items."""
        if found.multi_label:
            return cls(found.multi_hot(), ())
        return cls(found.set_targets(), tuple((start, end) for _, start, end in found.set_bounds()))

    def loss(self, logits: Float[Array, "g b c"], labels: Array, smoothing: float) -> Float[Array, " g"]:
        """Return the loss of each head, averaged over items.

        Args:
            logits: of g heads.
            labels: rows of `array`.
            smoothing: share of a target that is spread over all classes of its set; single labels only.

        Returns:
            Cross-entropy, summed over label sets; or binary cross-entropy, averaged over classes.
        """
        return self.soft_loss(logits, self.soft(labels), smoothing)

    def soft(self, labels: Array) -> Float[Array, "b c"]:
        """Return rows of `array` as one distribution over the classes of each label set, or as multi-hot."""
        if not self.bounds:
            return labels
        sets = [
            jax.nn.one_hot(labels[:, index], end - start) for index, (start, end) in enumerate(self.bounds)
        ]
        return jnp.concatenate(sets, axis=1)

    def soft_loss(
        self, logits: Float[Array, "g b c"], soft: Float[Array, "b c"], smoothing: float
    ) -> Float[Array, " g"]:
        """Return the loss of each head for targets as of `soft`, which may be mixed; see `loss`."""
        if not self.bounds:
            return optax.sigmoid_binary_cross_entropy(logits, soft).mean((1, 2))
        total = jnp.zeros(len(logits))
        for start, end in self.bounds:
            smooth = optax.smooth_labels(soft[:, start:end], smoothing)
            total = total + optax.softmax_cross_entropy(logits[..., start:end], smooth).mean(1)
        return total

    def probabilities(self, logits: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        """Return sigmoid, or softmax within each label set."""
        return probabilities(logits, self.bounds)


def probabilities(logits: Float[Array, "*b c"], bounds: tuple[tuple[int, int], ...]) -> Float[Array, "*b c"]:
    """Return softmax within each label set, or sigmoid without one; see `Targets`."""
    if not bounds:
        return jax.nn.sigmoid(logits)
    parts = [jax.nn.softmax(logits[..., start:end], axis=-1) for start, end in bounds]
    return jnp.concatenate(parts, axis=-1)
