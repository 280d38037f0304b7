"""Mean average precision of scored boxes at keyframes (frame mAP), at an overlap (IoU) of .5.

The official rules: at most 50 (box, class) rows of a keyframe count, those of the highest scores; boxes of
no area or swapped corners are dropped; from the highest score down, a row looks only at the annotated box of
its class that it overlaps most, and is wrong if that one is taken or overlaps too little. All annotated
keyframes count, also those without a box and those without a detection. A class without annotation is left
out of the mean.

Two variants are in use that give higher numbers on the same scores, because what a detector misses or invents
is forgiven; they are computed only by name:

- "videoglue": keyframes without a detection or without an annotated box are skipped.
- "mmaction2": rows on keyframes without an annotated box are dropped, and the number of rows is not limited.

Sources: activitynet/ActivityNet, Evaluation/get_ava_performance.py and ava/; VideoGLUE; MMAction2
core/evaluation/ava_utils.py.
"""

import dataclasses
import heapq

import numpy as np
from jaxtyping import Bool, Float

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.metrics.detection import detection_precision

VARIANTS = ("official", "videoglue", "mmaction2")
MOST = 50  # rows of a keyframe


def matched(overlaps: Float[np.ndarray, "p g"], least: float) -> Bool[np.ndarray, " p"]:
    """Return which rows of one keyframe and class are right.

    Args:
        overlaps: of each row, from the highest score down, with each annotated box, of which there are some.
        least: overlap that is enough.
    """
    best = overlaps.argmax(axis=1)
    enough = overlaps[np.arange(len(overlaps)), best] >= least
    hits, taken = np.zeros(len(overlaps), bool), np.zeros(overlaps.shape[1], bool)
    for index in np.flatnonzero(enough):
        hits[index] = not taken[best[index]]
        taken[best[index]] = True
    return hits


@dataclasses.dataclass(frozen=True)
class FramePrecision:
    """Frame mAP.

    Args:
        overlap: least IoU of a right box, in (0, 1].
        variant: "official", or a variant of the module by name.
    """

    overlap: float = 0.5
    variant: str = "official"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS or not 0 < self.overlap <= 1:
            raise errors.UserError(
                f"frame precision: expected a variant of {VARIANTS} and overlap in (0, 1], got "
                f"{self.variant!r} and {self.overlap}"
            )

    @property
    def name(self) -> str:
        """Name in tables."""
        name = f"frame mAP, IoU {self.overlap:g}".replace(" 0.", " .")
        return name if self.variant == "official" else f"{name} (flattering: {self.variant})"

    def match(self, said: boxes.Scored, found: items.ItemSet) -> detection_precision.Matches:
        """Match scored boxes with the annotations of a split.

        Raises:
            UserError: a row has no finite box or score, or an unknown keyframe or class.
        """
        _check(said, found)
        truth = boxes.truth_of(found)
        kept = (said.shares[:, 0] < said.shares[:, 2]) & (said.shares[:, 1] < said.shares[:, 3])
        notes = {} if kept.all() else {"boxes without area or with swapped corners": int((~kept).sum())}
        annotated, detected = (np.isin(np.arange(len(found)), each.row) for each in (truth, said))
        counted = np.ones(len(found), bool)
        if self.variant == "videoglue":
            counted = annotated & detected
        elif self.variant == "mmaction2":
            kept &= annotated[said.row]
        if not counted.all():
            notes["keyframes skipped"] = int((~counted).sum())
            if not counted.any():
                raise errors.UserError(f"{found.name}: no keyframe has both an annotated box and a detection")
        kept &= counted[said.row]
        places = np.flatnonzero(kept)
        if self.variant != "mmaction2":
            places, dropped = _capped(said, places)
            if dropped:
                notes[f"rows beyond the {MOST} of a keyframe"] = dropped
        # Of equal scores the last comes first, as in the evaluator.
        order = places[np.argsort(said.score[places], kind="stable")[::-1]]
        row, label = said.row[order], said.label[order]
        hits = np.zeros(len(order), bool)
        right: dict[tuple[int, int], list[int]] = {}
        for place, key in enumerate(zip(truth.row.tolist(), truth.label.tolist())):
            right.setdefault(key, []).append(place)
        mine: dict[tuple[int, int], list[int]] = {}
        for place, key in enumerate(zip(row.tolist(), label.tolist())):
            mine.setdefault(key, []).append(place)
        for key, own in mine.items():
            if key in right:
                overlaps = boxes.overlap(said.shares[order[own]], truth.shares[right[key]])
                hits[own] = matched(overlaps, self.overlap)
        positives = np.zeros((len(found), len(found.classes)), np.int64)
        true = counted[truth.row]
        np.add.at(positives, (truth.row[true], truth.label[true]), 1)
        return detection_precision.Matches(row, label, hits[None], positives, found.name, notes)


def _capped(said: boxes.Scored, places: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the places of the rows that count, at most `MOST` a keyframe, and how many were dropped."""
    kept: dict[int, list[tuple[float, int, int]]] = {}
    for place in places.tolist():
        heap = kept.setdefault(int(said.row[place]), [])
        one = (float(said.score[place]), int(said.label[place]), place)
        if len(heap) < MOST:
            heapq.heappush(heap, one)
        elif one[0] > heap[0][0]:
            heapq.heapreplace(heap, one)
    found = np.asarray(sorted(place for heap in kept.values() for _, _, place in heap), np.int64)
    return found, len(places) - len(found)


def _check(said: boxes.Scored, found: items.ItemSet) -> None:
    wrong = ~np.isfinite(said.shares).all(axis=1) | ~np.isfinite(said.score)
    wrong |= (said.label < 0) | (said.label >= len(found.classes))
    wrong |= (said.row < 0) | (said.row >= len(found))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise errors.UserError(
            f"{found.name}: expected scored boxes of a known keyframe and class with finite numbers, got row "
            f"{said.row[at]}, class {said.label[at]}, box {said.shares[at].tolist()}, score "
            f"{said.score[at]:g}"
        )
