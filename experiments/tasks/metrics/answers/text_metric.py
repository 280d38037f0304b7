"""Interface of a metric of generated texts."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics import measured


@runtime_checkable
class TextMetric(Protocol):
    """Interface of a metric of generated texts; implementations are frozen dataclasses."""

    @property
    def name(self) -> str:
        """Name of the metric in tables, including its variant."""
        ...

    def missing(self) -> str:
        """Return what the metric lacks to be computed, or "" if nothing."""
        ...

    def __call__(self, said: Sequence[str], references: Sequence[texts.Reference]) -> measured.Measured:
        """Return the metric.

        Args:
            said: the generated texts.
            references: what they are compared with, in the same order.
        """
        ...
