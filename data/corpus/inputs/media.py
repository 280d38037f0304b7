"""What every kind of input yields: pieces of work, and in them media with the clips to cut from each."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from prismlab.core import errors


class Stop(errors.UserError):
    """A fault of the input as a whole, after which nothing sensible can be written; a bad clip is none."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of work that becomes one shard.

    Args:
        number: from 0, in the order of the input.
        entries: small plain values that tell `read` what to read.
    """

    number: int
    entries: tuple[Any, ...]

    @property
    def identity(self) -> str:
        """16 hex digits that stand for the entries: a finished shard is compared with them on resume."""
        return hashlib.sha256(repr(self.entries).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Cut:
    """One clip that is wanted from a medium.

    Args:
        key: its name, unique in the corpus.
        caption: its text, not yet checked.
        start: first second, or None.
        end: second before which it ends, or None.
        labels: further columns.
        fault: why it cannot be made, when that is known already; else empty.
    """

    key: str
    caption: str
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Medium:
    """One video, one list of frames or one image, and its clips.

    Args:
        name: how messages call it.
        kind: "video", "frames" or "image", as in record.Record.
        cuts: the clips, in the order of the input.
        path: path or URL of a video, or empty where `read` gives it.
        read: gives the bytes: of the video, of the image, or of each frame's file.
        fps: frames per second of a list of frames, where known.
    """

    name: str
    kind: str
    cuts: tuple[Cut, ...]
    path: str = ""
    read: Callable[[], list[bytes]] | None = None
    fps: float | None = None


class Input(Protocol):
    """A kind of raw input."""

    def units(self) -> Iterator[Unit]:
        """Yield the pieces of work, cheaply and in a fixed order; nothing holds all of them.

        Raises:
            UserError: a fault of the input as a whole.
        """
        ...

    def read(self, unit: Unit) -> Iterator[Medium]:
        """Yield what a unit holds, in a fixed order.

        Raises:
            UserError: a fault that stops the run; a bad clip is a Cut with a fault.
        """
        ...


def grouped(entries: Iterable[Any], size: int) -> Iterator[Unit]:
    """Yield units of `size` consecutive entries each."""
    iterator, number = iter(entries), 0
    while group := tuple(itertools.islice(iterator, size)):
        yield Unit(number, group)
        number += 1
