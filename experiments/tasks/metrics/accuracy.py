"""Top-k accuracy, and accuracy averaged over classes, of single-label items."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import measured


def ranks(scores: Float[np.ndarray, "n c"], targets: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the rank of each item's class, from 1; ties count against it.

    A collapsed encoder gives equal scores, which must not count as right. A score that is not finite is last.
    """
    clean = np.where(np.isfinite(scores), scores, -np.inf)
    own = np.take_along_axis(clean, targets[:, None], 1)
    return np.asarray((clean >= own).sum(1))


@dataclasses.dataclass(frozen=True)
class TopK:
    """Fraction of items whose class is among the k highest scores; ties count as misses.

    Args:
        k: 1 or more.
    """

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise errors.UserError(f"top-k accuracy: expected k of 1 or more, got {self.k}")

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"top-{self.k} accuracy"

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy."""
        right = (ranks(scores, found.index_targets()) <= self.k).astype(np.float64)
        chance = min(1.0, self.k / max(1, len(found.classes)))
        return measured.Measured(float(right.mean()), chance, right)


@dataclasses.dataclass(frozen=True)
class ClassAccuracy:
    """Top-1 accuracy of each class, averaged over the classes that occur; ties count as misses."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return "macro accuracy"

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy; absent classes and the background class are left out and named."""
        targets = found.index_targets()
        right = (ranks(scores, targets) <= 1).astype(np.float64)
        used = [index for index in np.unique(targets).tolist() if index != found.background]
        if not used:
            raise errors.UserError(f"{found.name}: no item has a class that counts")
        value = float(np.mean([right[targets == index].mean() for index in used]))
        notes = {"absent classes": absent} if (absent := found.absent_classes()) else {}
        if found.background is not None:
            notes["left out"] = [found.classes[found.background]]
        return measured.Measured(value, 1 / len(found.classes), None, notes)
