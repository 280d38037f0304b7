"""Boxes at keyframes: annotated boxes with their actions, given detections, and what a head says of them.

A box is (x1, y1, x2, y2) as a share of the frame's width and height, x first, y downwards.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items

BOXES = "boxes"  # key of `Item.extra`: tuple of Box
DETECTIONS = "detections"  # key of `Item.extra`: tuple of Detection
SHARES = tuple[float, float, float, float]
_SLACK = 0.01  # annotators' boxes end a little outside the frame


@dataclasses.dataclass(frozen=True)
class Box:
    """An annotated box.

    Args:
        shares: the box.
        labels: classes of what its subject does, ascending without repetition; may be empty.
    """

    shares: SHARES
    labels: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Detection:
    """A box that a detector found.

    Args:
        shares: the box.
        score: in [0, 1].
    """

    shares: SHARES
    score: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scored boxes of all keyframes of a split, one a (box, class), in the order of their file or head.

    Args:
        row: row of the keyframe in its item set.
        shares: the box.
        label: class index.
        score: higher is surer.
    """

    row: Int64[np.ndarray, " p"]
    shares: Float[np.ndarray, "p 4"]
    label: Int64[np.ndarray, " p"]
    score: Float[np.ndarray, " p"]

    def __len__(self) -> int:
        """Number of scored boxes."""
        return len(self.row)


def fault(shares: tuple[float, ...]) -> str:
    """Return what is wrong with a box, the same words for all boxes of a kind; "" for a box that is right."""
    if len(shares) != 4 or not all(np.isfinite(shares)):
        return "box that is no four numbers"
    x1, y1, x2, y2 = shares
    if x2 < x1 or y2 < y1:
        return "box with swapped corners"
    if min(shares) < -_SLACK or max(shares) > 1 + _SLACK:
        return "box outside the frame (shares of its width and height, 0 to 1, are expected)"
    if x2 == x1 or y2 == y1:
        return "box without area"
    return ""


def clipped(shares: tuple[float, ...]) -> SHARES:
    """Return a box without what ends outside the frame."""
    x1, y1, x2, y2 = (min(1.0, max(0.0, float(each))) for each in shares)
    return x1, y1, x2, y2


def truth_of(found: items.ItemSet) -> Scored:
    """Return the annotated boxes of all keyframes, one a (box, class), with score 1.

    Raises:
        UserError: no item has a box.
    """
    if not any(item.extra.get(BOXES) for item in found.items):
        raise errors.UserError(
            f"{found.name}: expected keyframes with boxes, found none; use the reader of a data set of "
            "spatio-temporal localisation"
        )
    rows = [
        (row, box.shares, label)
        for row, item in enumerate(found.items)
        for box in item.extra.get(BOXES, ())
        for label in box.labels
    ]
    return Scored(
        np.asarray([row for row, _, _ in rows], np.int64),
        np.asarray([shares for _, shares, _ in rows], float).reshape(-1, 4),
        np.asarray([label for _, _, label in rows], np.int64),
        np.ones(len(rows)),
    )


def overlap(one: Float[np.ndarray, "p 4"], other: Float[np.ndarray, "g 4"]) -> Float[np.ndarray, "p g"]:
    """Return the intersection over union of all pairs; 0 where both have no area."""
    sides = np.minimum(one[:, None, 2:], other[:, 2:]) - np.maximum(one[:, None, :2], other[:, :2])
    inside = np.prod(np.maximum(sides, 0.0), axis=-1)
    area = lambda box: np.prod(np.maximum(box[:, 2:] - box[:, :2], 0.0), axis=-1)
    union = area(one)[:, None] + area(other) - inside
    found: Float[np.ndarray, "p g"] = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return found
