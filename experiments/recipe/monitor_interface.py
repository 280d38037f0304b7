"""Monitor interface: what is measured of a tower's features on a fixed micro-set while a stage trains."""

import pathlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8


@runtime_checkable
class Monitor(Protocol):
    """Interface of a monitor; implementations are frozen dataclasses with plain fields.

    A monitor changes no number of the training: it is not part of a stage's address.

    Args:
        every: steps between two measurements.
        tower: name of the video tower whose features are measured; the teacher's has the same name.
    """

    every: int
    tower: str

    def clips(self, cache: pathlib.Path) -> UInt8[np.ndarray, "n t r r 3"]:
        """Return the clips of the micro-set, equal at each call."""
        ...

    def measure(
        self,
        features: Float[np.ndarray, "n d"],
        teacher: Float[np.ndarray, "n d"] | None,
        cache: pathlib.Path,
    ) -> Mapping[str, float]:
        """Return named measurements.

        Args:
            features: mean over the tokens of each clip, float32.
            teacher: the same of the stage's teacher, or None.
            cache: directory shared by runs.
        """
        ...

    def collapsed(self, now: Mapping[str, float], best: Mapping[str, float]) -> str | None:
        """Return why the features count as collapsed, in a few words, or None.

        Args:
            now: this measurement.
            best: the largest value of each measurement so far, including this one.
        """
        ...
