"""Actions with their times in untrimmed videos: the annotated segments, and those that a head predicts."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items

SEGMENTS = "segments"  # key of `Item.extra`: tuple of Segment
DURATION = "duration"  # key of `Item.extra`: seconds


@dataclasses.dataclass(frozen=True)
class Segment:
    """An annotated action.

    Args:
        start, end: seconds from the beginning of the video; end is not before start.
        label: class index.
    """

    start: float
    end: float
    label: int

    def __post_init__(self) -> None:
        if not (np.isfinite([self.start, self.end]).all() and self.start <= self.end):
            raise errors.UserError(
                f"segment: expected a start and a later end in seconds, got {self.start} and {self.end}"
            )


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Predicted segments of all videos of a split, in any order.

    Args:
        row: row of the video in its item set.
        label: class index.
        start, end: seconds.
        score: higher is surer.
    """

    row: Int64[np.ndarray, " p"]
    label: Int64[np.ndarray, " p"]
    start: Float[np.ndarray, " p"]
    end: Float[np.ndarray, " p"]
    score: Float[np.ndarray, " p"]

    def __len__(self) -> int:
        """Number of segments."""
        return len(self.row)

    def where(self, mask: Bool[np.ndarray, " p"]) -> "Predicted":
        """Return the segments where the mask is True."""
        return Predicted(*(getattr(self, field.name)[mask] for field in dataclasses.fields(self)))


def truth_of(found: items.ItemSet) -> Predicted:
    """Return the annotated segments of all videos, with score 1.

    Raises:
        UserError: the items have no segments.
    """
    if not any(item.extra.get(SEGMENTS) for item in found.items):
        raise errors.UserError(
            f"{found.name}: expected videos with times of actions, found none; use the reader of a data set "
            "of temporal localisation"
        )
    rows = [(row, each) for row, item in enumerate(found.items) for each in item.extra.get(SEGMENTS, ())]
    return Predicted(
        np.asarray([row for row, _ in rows], np.int64),
        np.asarray([each.label for _, each in rows], np.int64),
        np.asarray([each.start for _, each in rows], float),
        np.asarray([each.end for _, each in rows], float),
        np.ones(len(rows)),
    )


def overlap(
    start: Float[np.ndarray, " p"],
    end: Float[np.ndarray, " p"],
    other_start: Float[np.ndarray, " g"],
    other_end: Float[np.ndarray, " g"],
) -> Float[np.ndarray, "p g"]:
    """Return the temporal intersection over union of all pairs; NaN (0/0) for two of zero length at one time.

    Two segments of zero length at different times also have 0/0, as in the official evaluator.
    """
    inside = np.minimum(end[:, None], other_end) - np.maximum(start[:, None], other_start)
    inside = np.maximum(inside, 0.0)
    union = (end - start)[:, None] + (other_end - other_start) - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        return inside / union
