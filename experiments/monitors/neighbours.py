"""Accuracy of k nearest neighbours on a micro-set: a number to watch, not to report."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.experiments.monitors import micro_set, statistics


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Classifies the second half of a labelled micro-set by its nearest clips of the first half.

    Args:
        micro: the clips, from a source with labels.
        label: name of the label, such as "motion".
        every: steps between two measurements.
        tower: the video tower.
        neighbours: k.
    """

    micro: micro_set.MicroSet
    label: str
    every: int = 200
    tower: str = "video"
    neighbours: int = 5

    def __post_init__(self) -> None:
        if self.every < 1 or self.neighbours < 1:
            raise errors.UserError(
                f"neighbours.Neighbours: expected every and neighbours of at least 1, got {self.every} and "
                f"{self.neighbours}"
            )

    def clips(self, cache: pathlib.Path) -> UInt8[np.ndarray, "n t r r 3"]:
        """Return the clips, after a check that each has the label."""
        self.micro.labels(self.label, cache)
        return self.micro.pixels(cache)

    def measure(
        self,
        features: Float[np.ndarray, "n d"],
        teacher: Float[np.ndarray, "n d"] | None,
        cache: pathlib.Path,
    ) -> Mapping[str, float]:
        """Return the accuracy, in [0, 1]."""
        del teacher
        labels, half = self.micro.labels(self.label, cache), len(features) // 2
        accuracy = statistics.nearest_accuracy(
            features[:half], labels[:half], features[half:], labels[half:], self.neighbours
        )
        return {f"nearest {self.label}": accuracy}

    def collapsed(self, now: Mapping[str, float], best: Mapping[str, float]) -> str | None:
        """Return None: accuracy on so few clips is too noisy for an alarm."""
        del now, best
        return None
