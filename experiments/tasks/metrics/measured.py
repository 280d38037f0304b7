"""What a metric returns: the number, its unit of resampling, and the outcome of every item."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from prismlab.experiments.tasks.interface import items


@dataclasses.dataclass(frozen=True)
class Measured:
    """A metric of one set of scores.

    Args:
        value: the metric.
        chance: its expected value for scores that do not depend on the items, or None if unknown.
        outcomes: float [n], the contribution of each item (1 or 0 for an accuracy), or None if the metric is
            no mean over items.
        notes: facts to print beside the value, such as classes that were left out.
    """

    value: float
    chance: float | None = None
    outcomes: Float[np.ndarray, " n"] | None = None
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def chance_fact(self) -> dict[str, float]:
        """Return {"chance": its rounded value} as it is printed beside the value, or {} if it is unknown."""
        return {} if self.chance is None else {"chance": round(self.chance, 4)}


@runtime_checkable
class Metric(Protocol):
    """Interface of a metric of class scores; implementations are frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name of the metric in tables, including its variant."""
        ...

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> Measured:
        """Return the metric.

        Args:
            scores: probabilities of the classes, or any scores of which higher means more likely.
            found: the items with their labels.
        """
        ...
