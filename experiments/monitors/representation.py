"""Effective rank, spread and alignment with the teacher: do the features collapse?"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.experiments.monitors import micro_set, statistics

RANK, DEVIATION, ALIGNMENT = "effective rank", "feature deviation", "teacher alignment"


@dataclasses.dataclass(frozen=True)
class Representation:
    """Measures effective rank and deviation of the features, and their alignment with the teacher's.

    Args:
        micro: the clips.
        every: steps between two measurements.
        tower: the video tower.
        alarm: features count as collapsed when effective rank or deviation falls below this share of its
            largest value so far, in [0, 1); 0 switches the alarm off.
    """

    micro: micro_set.MicroSet
    every: int = 200
    tower: str = "video"
    alarm: float = 0.25

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.alarm < 1:
            raise errors.UserError(
                f"representation.Representation: expected every >= 1 and alarm in [0, 1), got {self.every} "
                f"and {self.alarm}"
            )

    def clips(self, cache: pathlib.Path) -> UInt8[np.ndarray, "n t r r 3"]:
        """Return the clips of the micro-set."""
        return self.micro.pixels(cache)

    def measure(
        self,
        features: Float[np.ndarray, "n d"],
        teacher: Float[np.ndarray, "n d"] | None,
        cache: pathlib.Path,
    ) -> Mapping[str, float]:
        """Return the statistics; without a teacher there is no alignment."""
        del cache
        found = {
            RANK: statistics.effective_rank(features),
            DEVIATION: statistics.feature_deviation(features),
        }
        return found if teacher is None else found | {ALIGNMENT: statistics.linear_cka(features, teacher)}

    def collapsed(self, now: Mapping[str, float], best: Mapping[str, float]) -> str | None:
        """Return which statistic fell below `alarm` times its largest value, or None."""
        for name in (RANK, DEVIATION):
            if now[name] < self.alarm * best[name]:
                return f"{name} fell from {best[name]:.3g} to {now[name]:.3g}"
        return None
