"""Types shared by all input readers: units of work, and media with the clips to cut from them."""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from prismlab.core import errors


class Stop(errors.UserError):
    """Fatal input error that stops the run. Single bad clips do not raise this."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """Unit of work that becomes one shard.

    Args:
        number: index of the unit, from 0, in the order of the input.
        entries: small plain values that identify the data for `read`.
    """

    number: int
    entries: tuple[Any, ...]

    @property
    def identity(self) -> str:
        """Hash of the entries (16 hex digits), compared with finished shards on resume."""
        return hashlib.sha256(repr(self.entries).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Cut:
    """One clip to cut from a medium.

    Args:
        key: name of the clip, unique in the corpus.
        caption: caption, not yet validated.
        start: start in seconds (inclusive), or None.
        end: end in seconds (exclusive), or None.
        labels: additional columns.
        fault: error message if the clip is already known to be bad, else empty.
    """

    key: str
    caption: str
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Medium:
    """One video, list of frames or image, and its clips.

    Args:
        name: name used in error messages.
        kind: "video", "frames" or "image", as in record.Record.
        cuts: the clips, in the order of the input.
        path: path or URL of a video, or empty if `read` returns it.
        read: returns the bytes of the video, of the image, or of each frame file.
        fps: frames per second of a list of frames, if known.
    """

    name: str
    kind: str
    cuts: tuple[Cut, ...]
    path: str = ""
    read: Callable[[], list[bytes]] | None = None
    fps: float | None = None


@runtime_checkable
class Input(Protocol):
    """Protocol of readers of raw input."""

    def units(self) -> Iterator[Unit]:
        """Yield the units of work, lazily, cheaply and in a fixed order.

        Raises:
            UserError: an error of the whole input.
        """
        ...

    def read(self, unit: Unit) -> Iterator[Medium]:
        """Yield the media of a unit, in a fixed order.

        Raises:
            UserError: a fatal error; a bad clip is a Cut with a fault instead.
        """
        ...


def grouped(entries: Iterable[Any], size: int) -> Iterator[Unit]:
    """Yield units of `size` consecutive entries each."""
    iterator, number = iter(entries), 0
    while group := tuple(itertools.islice(iterator, size)):
        yield Unit(number, group)
        number += 1
