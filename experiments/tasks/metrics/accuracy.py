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


def one_set(
    scores: Float[np.ndarray, "n c"], found: items.ItemSet, label_set: str
) -> tuple[Float[np.ndarray, "n s"], Int[np.ndarray, " n"], tuple[str, ...], int]:
    """Return scores, targets and class names of one label set, and the index of its first class.

    Raises:
        UserError: the items have no such label set, or several and none is named.
    """
    if not label_set:
        return scores, found.index_targets(), found.classes, 0
    for column, (name, start, end) in enumerate(found.set_bounds()):
        if name == label_set:
            return scores[:, start:end], found.set_targets()[:, column], found.classes[start:end], start
    names = [name for name, _ in found.label_sets]
    raise errors.UserError(f"{found.name} has no label set {label_set!r}; expected one of {names}")


@dataclasses.dataclass(frozen=True)
class TopK:
    """Fraction of items whose class is among the k highest scores; ties count as misses.

    Args:
        k: 1 or more.
        label_set: the label set to score; "" for all of them: an item is right if it is right in each.
    """

    k: int = 1
    label_set: str = ""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise errors.UserError(f"top-k accuracy: expected k of 1 or more, got {self.k}")

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"top-{self.k} accuracy" + (f" ({self.label_set})" if self.label_set else "")

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy."""
        sets = (
            [self.label_set] if self.label_set or not found.label_sets else [n for n, _ in found.label_sets]
        )
        right, chance = np.ones(len(found)), 1.0
        for label_set in sets:
            part, targets, classes, _ = one_set(scores, found, label_set)
            right *= ranks(part, targets) <= self.k
            chance *= min(1.0, self.k / max(1, len(classes)))
        return measured.Measured(float(right.mean()), chance, right)


@dataclasses.dataclass(frozen=True)
class ClassAccuracy:
    """Top-1 accuracy of each class, averaged over the classes that occur; ties count as misses.

    Args:
        label_set: the label set to score, of items that have several.
    """

    label_set: str = ""

    @property
    def name(self) -> str:
        """Name in tables."""
        return "macro accuracy" + (f" ({self.label_set})" if self.label_set else "")

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy; absent classes and the background class are left out and named."""
        part, targets, classes, start = one_set(scores, found, self.label_set)
        background = None if found.background is None else found.background - start
        right = (ranks(part, targets) <= 1).astype(np.float64)
        used = [index for index in np.unique(targets).tolist() if index != background]
        if not used:
            raise errors.UserError(f"{found.name}: no item has a class that counts")
        value = float(np.mean([right[targets == index].mean() for index in used]))
        absent = [name for index, name in enumerate(classes) if index not in set(targets.tolist())]
        notes: dict[str, list[str]] = {"absent classes": absent} if absent else {}
        if background is not None and 0 <= background < len(classes):
            notes["left out"] = [classes[background]]
        return measured.Measured(value, 1 / len(classes), None, notes)
