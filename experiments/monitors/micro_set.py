"""The micro-set of a monitor: a few clips of a source, always the same, and their labels."""

import dataclasses
import functools
import pathlib

import numpy as np
from jaxtyping import Int, UInt8

from prismlab.core import errors
from prismlab.data.loader import loader, source
from prismlab.data.records import record


@dataclasses.dataclass(frozen=True)
class MicroSet:
    """The first clips of a source, with evenly spaced frames and a centre crop.

    Args:
        source: where clips come from; held-out clips are best, and labels are needed by some monitors.
        frames: frames a clip, as the tower expects them.
        resolution: frame height and width in pixels.
        size: number of clips, at least 2. They are encoded together: keep it near the batch size.
    """

    source: source.Source
    frames: int
    resolution: int
    size: int = 64

    def __post_init__(self) -> None:
        if self.size < 2:
            raise errors.UserError(f"micro_set.MicroSet.size must be at least 2, got {self.size}")

    def pixels(self, cache: pathlib.Path) -> UInt8[np.ndarray, "n t r r 3"]:
        """Return the clips."""
        return _read(self, cache)[0]

    def labels(self, name: str, cache: pathlib.Path) -> Int[np.ndarray, " n"]:
        """Return the class index of each clip, in the order of the sorted class names.

        Raises:
            UserError: a clip has no such label, or all clips have the same.
        """
        records = _read(self, cache)[1]
        missing = [each for each in records if name not in each.labels]
        if missing:
            raise errors.UserError(
                f"monitor: clip {missing[0].key!r} has no label {name!r}, it has {sorted(missing[0].labels)}"
            )
        values = [each.labels[name] for each in records]
        classes = sorted(set(values))
        if len(classes) < 2:
            raise errors.UserError(
                f"monitor: all {self.size} clips have {name}={classes[0]!r}; take more or other clips"
            )
        return np.asarray([classes.index(value) for value in values])


@functools.lru_cache(maxsize=4)  # several monitors, one micro-set
def _read(of: MicroSet, cache: pathlib.Path) -> tuple[UInt8[np.ndarray, "n t r r 3"], list[record.Record]]:
    return loader.read_all(of.source, cache, frames=of.frames, resolution=of.resolution, limit=of.size)
