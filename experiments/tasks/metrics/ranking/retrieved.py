"""What retrieval metrics measure: the ranks of all queries in one direction."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64

from prismlab.experiments.tasks.metrics import measured
from prismlab.experiments.tasks.metrics.ranking import ranks


@dataclasses.dataclass(frozen=True)
class Retrieved:
    """Ranks of queries.

    Args:
        worst: rank of each query's best right candidate, ties counted against it.
        best: the same, ties counted for it.
        right: number of right candidates of each query.
        candidates: number of candidates.
    """

    worst: Int64[np.ndarray, " q"]
    best: Int64[np.ndarray, " q"]
    right: Int64[np.ndarray, " q"]
    candidates: int

    @classmethod
    def of(cls, similarity: Float[np.ndarray, "q c"], right: Sequence[Sequence[int]]) -> "Retrieved":
        """Return the ranks of similarities; see `ranks.ranks`."""
        worst, best = ranks.ranks(similarity, right)
        return cls(worst, best, np.asarray([len(each) for each in right], np.int64), similarity.shape[1])

    def take(self, rows: Int64[np.ndarray, " n"]) -> "Retrieved":
        """Return the ranks of some queries, which may repeat."""
        return Retrieved(self.worst[rows], self.best[rows], self.right[rows], self.candidates)


@runtime_checkable
class Metric(Protocol):
    """Interface of a retrieval metric; implementations are frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name of the metric in tables."""
        ...

    def __call__(self, found: Retrieved) -> measured.Measured:
        """Return the metric of one direction."""
        ...
