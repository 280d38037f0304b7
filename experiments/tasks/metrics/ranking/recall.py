"""Recall at k: fraction of queries with a right candidate among the k best; ties count as misses."""

import dataclasses

from prismlab.core import errors
from prismlab.experiments.tasks.metrics import measured
from prismlab.experiments.tasks.metrics.ranking import ranks, retrieved


@dataclasses.dataclass(frozen=True)
class RecallAt:
    """Recall at k.

    Args:
        k: 1 or more.
    """

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise errors.UserError(f"recall: expected k of 1 or more, got {self.k}")

    @property
    def name(self) -> str:
        """Name in tables."""
        return f"R@{self.k}"

    def __call__(self, found: retrieved.Retrieved) -> measured.Measured:
        """Return the recall; the value with ties as hits is named where it differs."""
        hit = (found.worst <= self.k).astype(float)
        lucky = float((found.best <= self.k).mean())
        notes = {} if lucky == hit.mean() else {"ties as hits": round(lucky, 6)}
        chance = ranks.chance_of_recall(self.k, found.right, found.candidates)
        return measured.Measured(float(hit.mean()), chance, hit, notes)
