"""Average precision of detections that were matched with ground truth, over any choice of items.

All-point interpolation (VOC 2010): precision is made monotone from the right and summed at the hits. Matching
depends on one item alone, so it is done once, and intervals over items need only the sums.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from prismlab.core import errors


def all_point(hits: Bool[np.ndarray, "k p"], positives: int) -> Float[np.ndarray, " k"]:
    """Return the average precision at each of k thresholds.

    Args:
        hits: whether each detection is right, from the highest score down.
        positives: number of annotated instances, 1 or more.
    """
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found: Float[np.ndarray, " k"] = np.where(hits, best, 0.0).sum(axis=1) / positives
    return found


@dataclasses.dataclass(frozen=True)
class Matches:
    """Matched detections of a split, from the highest score down.

    Args:
        row: row of the item of each detection.
        label: class of each detection.
        hits: bool [k, p], whether it is right at each of k thresholds.
        positives: int64 [n, c], annotated instances of each item and class.
        name: of the item set, for messages.
        notes: facts to print beside a value.
    """

    row: Int64[np.ndarray, " p"]
    label: Int64[np.ndarray, " p"]
    hits: Bool[np.ndarray, "k p"]
    positives: Int64[np.ndarray, "n c"]
    name: str
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def by_class(self, rows: Int64[np.ndarray, " r"] | None = None) -> dict[int, Float[np.ndarray, " k"]]:
        """Return the average precisions of each class with ground truth; 0 for one without a detection.

        Args:
            rows: the items, ascending without repetition; None for all.

        Raises:
            UserError: no item has ground truth.
        """
        row, label, hits = self.row, self.label, self.hits
        positives = (self.positives if rows is None else self.positives[rows]).sum(axis=0)
        if rows is not None:
            kept = np.isin(row, rows)
            label, hits = label[kept], hits[:, kept]
        present = np.flatnonzero(positives)
        if not len(present):
            raise errors.UserError(f"{self.name}: no annotation of a class that counts, so there is no mAP")
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], [present, present + 1])
        return {
            int(index): all_point(hits[:, order[low:high]], int(positives[index]))
            for index, low, high in zip(present, *bounds)
        }

    def value(self, rows: Int64[np.ndarray, " r"] | None = None) -> float:
        """Return the average precision averaged over classes and thresholds; see `by_class`."""
        return float(np.mean(list(self.by_class(rows).values())))

    def by_threshold(self) -> Float[np.ndarray, " k"]:
        """Return the average precision averaged over classes at each threshold."""
        found: Float[np.ndarray, " k"] = np.mean(list(self.by_class().values()), axis=0)
        return found
