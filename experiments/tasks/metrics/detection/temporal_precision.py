"""Mean average precision of predicted segments, averaged over temporal overlaps (tIoU) .5, .55, ..., .95.

Both variants match a video's predictions of a class from the highest score down: a prediction takes the free
annotation that it overlaps most, if the overlap reaches the threshold, and is wrong if there is none. A
prediction on a video without annotation of its class is wrong; a class with annotations and no prediction has
precision 0; classes that the split does not have are not averaged.

- "clean": annotations of zero length and repeated annotations (to 1 ms) are left out and counted; of equal
  scores, the one that comes first is first.
- "official": annotations as they are. Where a prediction and an annotation both have no length, their overlap
  is 0/0, which the evaluator counts as a hit anywhere in the video. Of equal scores the last comes first.

Source: activitynet/ActivityNet, Evaluation/eval_detection.py; ActionFormer removes annotations as "clean".
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items, segments
from prismlab.experiments.tasks.metrics.detection import detection_precision

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
VARIANTS = ("clean", "official")
SAME = 1e-3  # seconds


def matched(
    overlaps: Float[np.ndarray, "p g"], thresholds: Float[np.ndarray, " k"]
) -> Bool[np.ndarray, "k p"]:
    """Return which predictions of one video and class are right at each threshold.

    Args:
        overlaps: of each prediction, from the highest score down, with each annotation; NaN passes every
            threshold and comes first.
        thresholds: least overlaps.
    """
    hits = np.zeros((len(thresholds), len(overlaps)), bool)
    free = np.ones((len(thresholds), overlaps.shape[1]), bool)
    for index, values in enumerate(overlaps):
        order = np.argsort(values, kind="stable")[::-1]
        able = free[:, order] & ~(values[order] < thresholds[:, None])
        first = able.argmax(axis=1)
        hits[:, index] = able.any(axis=1)
        free[hits[:, index], order[first[hits[:, index]]]] = False
    return hits


@dataclasses.dataclass(frozen=True)
class TemporalPrecision:
    """Mean average precision over tIoU thresholds.

    Args:
        variant: "clean" or "official"; see the module.
        thresholds: least overlaps, in (0, 1].
    """

    variant: str = "clean"
    thresholds: tuple[float, ...] = THRESHOLDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if self.variant not in VARIANTS:
            raise errors.UserError(
                f"temporal precision: variant must be one of {VARIANTS}, got {self.variant!r}"
            )
        if not self.thresholds or not all(0 < each <= 1 for each in self.thresholds):
            raise errors.UserError(
                f"temporal precision: expected thresholds in (0, 1], at least one, got {self.thresholds}"
            )

    @property
    def name(self) -> str:
        """Name in tables."""
        low, high = (f"{each:g}".lstrip("0") for each in (min(self.thresholds), max(self.thresholds)))
        grid = low if low == high else f"{low}:{high}"
        return f"mAP, tIoU {grid}" + (" (official)" if self.variant == "official" else "")

    def match(self, predicted: segments.Predicted, found: items.ItemSet) -> detection_precision.Matches:
        """Match predictions with the annotations of a split.

        Raises:
            UserError: a prediction has no finite time or score, or ends before it starts.
        """
        _check(predicted, found)
        truth, notes = segments.truth_of(found), {}
        if self.variant == "clean":
            kept = _kept(truth)
            if not kept.all():
                notes["annotations of zero length or repeated, left out"] = int((~kept).sum())
            truth = truth.where(kept)
        order = np.argsort(-predicted.score, kind="stable")
        if self.variant == "official":
            order = np.argsort(predicted.score, kind="stable")[::-1]
        said = segments.Predicted(*(getattr(predicted, each.name)[order]
                                    for each in dataclasses.fields(predicted)))  # fmt: skip
        hits = np.zeros((len(self.thresholds), len(said)), bool)
        limits = np.asarray(self.thresholds)
        annotated = _places(truth, len(found.classes))
        for key, places in _places(said, len(found.classes)).items():
            if key not in annotated:
                continue
            right = annotated[key]
            overlaps = segments.overlap(
                said.start[places], said.end[places], truth.start[right], truth.end[right]
            )
            hits[:, places] = matched(overlaps, limits)
        positives = np.zeros((len(found), len(found.classes)), np.int64)
        np.add.at(positives, (truth.row, truth.label), 1)
        absent = int((positives.sum(axis=0)[said.label] == 0).sum())
        if absent:
            notes["predictions of classes that the split does not have"] = absent
        return detection_precision.Matches(said.row, said.label, hits, positives, found.name, notes)


def _places(each: segments.Predicted, classes: int) -> dict[int, np.ndarray]:
    """Return the places of the segments of each (video, class), in their order."""
    keys = each.row * classes + each.label
    order = np.argsort(keys, kind="stable")
    unique, starts = np.unique(keys[order], return_index=True)
    return dict(zip(unique.tolist(), np.split(order, starts[1:])))


def _kept(truth: segments.Predicted) -> np.ndarray:
    """Return which annotations have a length and no equal before them."""
    kept = np.asarray(truth.end > truth.start)
    for places in _places(truth, int(truth.label.max(initial=0)) + 1).values():
        for number, place in enumerate(places):
            before = places[:number][kept[places[:number]]]
            near = np.maximum(abs(truth.start[before] - truth.start[place]),
                              abs(truth.end[before] - truth.end[place])) <= SAME  # fmt: skip
            kept[place] &= not near.any()
    return kept


def _check(predicted: segments.Predicted, found: items.ItemSet) -> None:
    times = np.stack([predicted.start, predicted.end, predicted.score])
    wrong = ~np.isfinite(times).all(axis=0) | (predicted.end < predicted.start)
    wrong |= (predicted.label < 0) | (predicted.label >= len(found.classes))
    wrong |= (predicted.row < 0) | (predicted.row >= len(found))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise errors.UserError(
            f"{found.name}: expected predicted segments of a known video and class with a finite score and "
            f"an end that is not before the start, got row {predicted.row[at]}, class {predicted.label[at]}, "
            f"{predicted.start[at]:g} to {predicted.end[at]:g} s, score {predicted.score[at]:g}"
        )
