"""Decoded frames of a dataset's clips in one file, beside its shards, so that no reader decodes them again.

Two files: `pixels.bin` holds the frames of all clips, one after another, as uint8 [frames, h, w, 3];
`frames.json`, written last, holds the size of a frame and the number of frames of each clip.
"""

import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.data.records import record as record_module

PIXELS = "pixels.bin"
INDEX = "frames.json"
_REMEDY = "delete this folder, and the frames are decoded again"


@dataclasses.dataclass(frozen=True)
class Index:
    """Contents of `frames.json`.

    Args:
        height: h, of every frame.
        width: w, of every frame.
        counts: number of frames of each clip.
    """

    height: int
    width: int
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.height, self.width, *self.counts, 1) < 1:
            raise errors.UserError("expected a size and counts of 1 or more")


class DecodedFrames:
    """Read-only view of the decoded frames of each clip; safe to share between threads and processes.

    The file is memory-mapped once per process, so that processes share its pages.
    """

    def __init__(self, directory: pathlib.Path):
        """Read the index and check the size of the file of pixels.

        Args:
            directory: folder that `kept` wrote.

        Raises:
            UserError: a file is missing or damaged.
        """
        self._path = directory / PIXELS
        index = checked_json.read(Index, directory / INDEX, _REMEDY)
        self._starts = [0, *itertools.accumulate(index.counts)]
        self._shape = (self._starts[-1], index.height, index.width, 3)
        size, expected = filesystem.size_and_version(self._path)[0], math.prod(self._shape)
        if size != expected:
            raise errors.UserError(f"{self._path}: expected {expected} bytes, got {size}; {_REMEDY}")
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Return the frames of a clip, read-only."""
        if self._pixels is None:
            self._pixels = np.memmap(self._path, np.uint8, mode="r", shape=self._shape)
        return np.asarray(self._pixels[self._starts[index] : self._starts[index + 1]])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pixels": None}


def kept(
    records: Iterable[record_module.Record], directory: pathlib.Path, most_bytes: int
) -> Iterator[record_module.Record]:
    """Yield records unchanged and write their decoded frames to a folder.

    The folder is finished after the last record. It is left unfinished, so that readers decode, if a record
    has no decoded frames, clips differ in the size of a frame, or all frames exceed `most_bytes`.

    Args:
        records: the records, in order.
        directory: folder for the two files; created if missing.
        most_bytes: largest size of the file of pixels.
    """
    counts, size, room = list[int](), None, most_bytes
    with filesystem.atomic_file(directory / PIXELS) as temporary:
        with temporary.open("wb") as file:
            for record in records:
                frames = record.kept_frames
                if frames is None or size not in (None, frames.shape[1:3]) or frames.nbytes > room:
                    room = -1  # and nothing after it is kept
                else:
                    room, size = room - frames.nbytes, frames.shape[1:3]
                    counts.append(len(frames))
                    file.write(np.ascontiguousarray(frames).data)
                yield record
        if room < 0:
            temporary.unlink()
    if room >= 0 and size is not None:
        index = {"height": size[0], "width": size[1], "counts": counts}
        filesystem.write_atomic(directory / INDEX, json.dumps(index).encode())


def finished(directory: pathlib.Path) -> bool:
    """Return True if the folder holds the frames of every clip."""
    return (directory / INDEX).is_file()
