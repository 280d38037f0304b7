"""Average precision of one class and its mean over classes: an order-free default, and the official variants.

Four definitions are in use for clip-level data, and they differ by several points on the same scores:

- "step": precision x rise of recall, summed over distinct scores. Equal scores are one threshold, so the
  order of the items has no effect. A class without positive items has no value and is left out of the mean.
- "sklearn": the same curve; a class without positive items counts 0 in the mean.
- "charades": mean precision at the positive items of a ranking in which equal scores keep the order of the
  items; all items without any label are ranked last.
- "keras": area under 200 fixed thresholds on probabilities, with Keras' interpolation; a class without
  positive items counts 0. VideoGLUE scores Charades so.

Sources: scikit-learn `average_precision_score`; charades-algorithms `map.py` (`charades_map`; it takes the
mean over all classes, NaN if one is absent: here that class is left out and named); Keras
`metrics.AUC(curve="PR", multi_label=True)` with its defaults; Bestgen 2015 for `expected`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import measured

KERAS_THRESHOLDS = np.concatenate([[-1e-7], np.arange(1, 199) / 199, [1 + 1e-7]])


def step(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Return the order-free average precision, or NaN without positive items.

    Args:
        scores: any scores of which higher means more likely; a score that is not finite is lowest.
        positive: True for the items of the class.
    """
    if not positive.any():
        return float("nan")
    found, taken = _curve(scores, positive)
    rise = np.diff(found, prepend=0) / found[-1]
    return float(np.sum(rise * found / taken))


def at_positives(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Return the mean precision at the positive items, or NaN without any; ties keep the order of the items.

    Args:
        scores: see `step`.
        positive: True for the items of the class.
    """
    if not positive.any():
        return float("nan")
    ranked = positive[np.argsort(-_finite(scores), kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def bucketed(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Return the area under the curve of 200 fixed thresholds, 0 without positive items.

    Args:
        scores: probabilities in [0, 1]; one that is not finite is below every threshold above 0.
        positive: True for the items of the class.

    Raises:
        UserError: a score is outside [0, 1].
    """
    finite = np.where(np.isfinite(scores), scores, 0.0)
    if len(finite) and (finite.min() < 0 or finite.max() > 1):
        raise errors.UserError(
            f"average precision 'keras' needs probabilities, got scores from {finite.min():g} to "
            f"{finite.max():g}; use 'step'"
        )
    if not positive.any():
        return 0.0
    above = lambda values: len(values) - np.searchsorted(np.sort(values), KERAS_THRESHOLDS, side="right")
    hits, taken = above(finite[positive]).astype(float), above(finite).astype(float)
    gained, more = hits[:-1] - hits[1:], taken[:-1] - taken[1:]
    slope = np.divide(gained, more, out=np.zeros_like(gained), where=more > 0)
    rest = hits[1:] - slope * taken[1:]
    ratio = np.divide(taken[:-1], taken[1:], out=np.ones_like(gained), where=taken[1:] > 0)
    return float(np.sum(slope * (gained + rest * np.log(ratio))) / positive.sum())


def expected(n: int, positives: int) -> float:
    """Return the expected average precision of a random order of n items, NaN without positive items."""
    if not positives:
        return float("nan")
    if n == 1:
        return 1.0
    first = float(np.sum(1.0 / np.arange(1, n + 1))) / n
    return first + (positives - 1) / (n - 1) * (1.0 - first)


VARIANTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "step": step, "sklearn": step, "charades": at_positives, "keras": bucketed,
}  # fmt: skip
COUNT_ABSENT_AS_0 = ("sklearn", "keras")


@dataclasses.dataclass(frozen=True)
class MeanAveragePrecision:
    """Average precision of each class against all others, averaged over classes.

    Args:
        variant: "step", or one of the official definitions "sklearn", "charades", "keras"; see the module.
        with_background: average over the background class too.
    """

    variant: str = "step"
    with_background: bool = False

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise errors.UserError(
                f"average precision: variant must be one of {sorted(VARIANTS)}, got {self.variant!r}"
            )

    @property
    def name(self) -> str:
        """Name in tables."""
        name = "mAP" if self.variant == "step" else f"mAP ({self.variant})"
        return name + (" with background" if self.with_background else "")

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the mean; its chance is that of a random order of the items.

        Raises:
            UserError: no item has a class that counts.
        """
        truth = found.multi_hot().astype(bool)
        unfinished = int((~np.isfinite(scores)).sum())
        ranked = len(truth)
        if self.variant == "charades":
            ranked = int(truth.any(axis=1).sum())
            scores = np.where(truth.any(axis=1, keepdims=True), scores, -np.inf)
        left_out = None if self.with_background else found.background
        used = [index for index in range(len(found.classes)) if index != left_out]
        present = [index for index in used if truth[:, index].any()]
        if not present:
            raise errors.UserError(f"{found.name}: no item has a class that counts, so there is no mAP")
        averaged = used if self.variant in COUNT_ABSENT_AS_0 else present
        rule = VARIANTS[self.variant]
        by_class = {index: rule(scores[:, index], truth[:, index]) for index in averaged}
        chance = [expected(ranked, int(truth[:, index].sum())) for index in averaged]
        notes: dict[str, object] = {"classes averaged": len(averaged)}
        if len(present) < len(used):
            notes["classes without positives"] = [found.classes[i] for i in used if i not in present]
        if left_out is not None:
            notes["left out"] = [found.classes[left_out]]
        if unfinished:
            notes["scores that are not finite"] = unfinished
        notes["by class"] = {found.classes[index]: round(value, 4) for index, value in by_class.items()}
        return measured.Measured(
            float(np.mean(np.nan_to_num(list(by_class.values())))),
            float(np.mean(np.nan_to_num(chance))), None, notes,
        )  # fmt: skip


def _finite(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(scores), scores, -np.inf)


def _curve(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positives and items at or above each distinct score, from the highest score down."""
    order = np.argsort(-_finite(scores), kind="stable")
    ranked = _finite(scores)[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return np.cumsum(positive[order])[last], last + 1
