"""Matching interface: what sets the steps of a stage from the cost of another stage."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@dataclasses.dataclass(frozen=True)
class Match:
    """Steps of a stage, set so that it costs about as much as another stage.

    Args:
        stage: the stage whose steps were set.
        other: the stage that it is matched with.
        unit: what is counted, such as "FLOPs".
        steps: steps of `stage`, at least 1.
        cost: cost of all of them.
        target: cost of `other`.
    """

    stage: str
    other: str
    unit: str
    steps: int
    cost: float
    target: float

    @property
    def mismatch(self) -> float:
        """What is left of the difference, as a fraction of the target."""
        return self.cost / self.target - 1

    @property
    def text(self) -> str:
        """Return the match in one line."""
        return (
            f"{self.stage!r} has {self.steps:,} steps, with {self.cost:.4g} {self.unit} against "
            f"{self.target:.4g} of {self.other!r} (mismatch {100 * self.mismatch:+.2g} %)"
        )


@runtime_checkable
class Matching(Protocol):
    """Interface of a value of "<stage>.steps" in a row; implementations are frozen dataclasses.

    Args:
        stage: name of the stage that is matched, as the row and its scale have it; the row need not run it.
    """

    stage: str

    def match(self, stage: Any, other: Any, stages: Mapping[str, Any]) -> Match:
        """Return the steps of a stage.

        Args:
            stage: the `recipe.Stage` whose steps are set.
            other: the one that it is matched with, of at least 1 step.
            stages: name -> stage, of all stages of the experiment.
        """
        ...
