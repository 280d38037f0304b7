"""Median rank of the best right candidate of each query, from 1; ties count against it."""

import dataclasses

import numpy as np

from prismlab.experiments.tasks.metrics import measured
from prismlab.experiments.tasks.metrics.ranking import retrieved


@dataclasses.dataclass(frozen=True)
class MedianRank:
    """Median over queries; for an even number of queries the mean of the middle two, so it may end in .5."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return "median rank"

    def __call__(self, found: retrieved.Retrieved) -> measured.Measured:
        """Return the median rank; its chance is known where each query has one right candidate."""
        value, lucky = float(np.median(found.worst)), float(np.median(found.best))
        chance = (found.candidates + 1) / 2 if (found.right == 1).all() else None
        return measured.Measured(value, chance, None, {} if lucky == value else {"ties as hits": lucky})
