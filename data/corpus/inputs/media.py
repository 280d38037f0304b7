"""Types shared by all input readers: units of work, and media with the clips to cut from them."""

import dataclasses
import hashlib
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from prismlab.core import errors
from prismlab.core.io import file_errors, file_names

# What reading a hostile or damaged file can raise.
WRONG = (
    errors.UserError, ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError,
    TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_LONGEST_REASON = 500
_Entry = TypeVar("_Entry")


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
        key: name of the clip, unique in the corpus; made readable.
        caption: caption, not yet validated; None for a clip without one.
        start: start in seconds (inclusive), or None.
        end: end in seconds (exclusive), or None.
        labels: additional columns.
        fault: error message if the clip is already known to be bad, else empty.
    """

    key: str
    caption: str | None
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    fault: str = ""

    def __post_init__(self) -> None:
        # The record and the report must hold the name, even if it is not UTF-8.
        object.__setattr__(self, "key", file_names.readable(self.key))


@dataclasses.dataclass(frozen=True)
class PassedOver:
    """A file of the input that no clip is made of, for the report.

    Args:
        why: its kind, such as ".bmp files"; files are counted by kind.
        name: its name.
    """

    why: str
    name: str


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

    def passed_over(self) -> Iterator[PassedOver]:
        """Yield the files beside the units that no clip is made of."""
        ...

    def read(self, unit: Unit) -> Iterator[Medium | PassedOver]:
        """Yield the media of a unit, in a fixed order, and what is passed over in it.

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


def isolated(
    entries: Iterable[_Entry], keys: Callable[[_Entry], Sequence[str]], make: Callable[[_Entry], Medium]
) -> Iterator[Medium]:
    """Yield the medium of each entry; whatever is wrong with one is a fault of its own clips.

    Args:
        entries: parts of a unit.
        keys: returns the names of an entry's clips; it must not fail.
        make: returns the medium of an entry. Of its errors only `Stop` ends the run, and a full disk.
    """
    for entry in entries:
        try:
            medium = make(entry)
        except WRONG as error:
            if isinstance(error, Stop) or file_errors.is_full(error):
                raise
            names = keys(entry)
            cuts = tuple(Cut(name, "", fault=reason(error)) for name in names)
            medium = Medium(names[0], "video", cuts, read=lambda: [b""])
        yield medium


def reason(error: BaseException) -> str:
    """Return what is wrong as one line of readable text."""
    try:
        text = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
    except ValueError:
        text = "a number of too many digits"
    if not isinstance(error, errors.UserError) and not text.startswith("expected "):
        text = f"expected a readable file, got {type(error).__name__}: {text}"
    if len(text) > _LONGEST_REASON:  # a long name stands at the start, what is wrong with it at the end
        text = text[:100] + "..." + text[100 - _LONGEST_REASON :]
    return file_names.readable(text)


def by_ending(names: Iterable[str]) -> Iterator[PassedOver]:
    """Yield files that are passed over, by their ending."""
    for name in names:
        ending = "." + name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name else ""
        yield PassedOver(f"{ending} files" if ending else "files without an ending", name)
