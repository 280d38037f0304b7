"""One loader for rows that train together: each batch is decoded once and given to every row."""

import collections
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core.train.loops import co_training
from prismlab.data.loader import bad_clips, stream


class _Notes:
    """Keeps what a stream notes about bad clips, for the ledgers of all rows."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, Sequence[int], Sequence[str]]] = []

    def note(self, step: int, home: str, clips: Sequence[int], reasons: Sequence[str]) -> None:
        """Keep what a ledger is to note."""
        self.found.append((step, home, clips, reasons))


class Batches:
    """The batches of one stream for several rows, which read them at about the same time.

    Args (constructor):
        rows: number of rows.
    """

    def __init__(self, rows: int):
        self._lock = threading.Lock()
        self._source: Iterator[Any] | None = None
        self._notes = _Notes()
        self._waiting: dict[int, collections.deque[Any]] = {
            index: collections.deque() for index in range(rows)
        }

    def read(
        self, index: int, opened: stream.Stream, start: int, ledger: bad_clips.Notes | None
    ) -> Iterator[stream.HostArrays]:
        """Yield the batches of one row; see `stream.Stream.read`. All rows start at the same step."""
        while True:
            with self._lock:
                if self._source is None:
                    self._source = opened.read(start, self._notes)
                if not self._waiting[index]:
                    self._pull()
                notes, batch = self._waiting[index].popleft()
            if isinstance(batch, BaseException):
                raise batch
            if ledger is not None:
                for note in notes:
                    ledger.note(*note)
            if batch is None:
                return
            yield batch

    def leave(self, index: int) -> None:
        """Keep no more batches for a row."""
        with self._lock:
            self._waiting.pop(index, None)

    def _pull(self) -> None:
        assert self._source is not None
        try:
            batch: Any = next(self._source, None)
        except Exception as error:  # every row raises it
            batch = error
        notes, self._notes.found[:] = list(self._notes.found), []
        for each in self._waiting.values():
            each.append((notes, batch))


@dataclasses.dataclass(frozen=True)
class Among:
    """Part of one row in a group of rows that train together.

    Args:
        member: its part in the steps.
        batches: the batches of the group.
        rows: number of rows.
    """

    member: co_training.Member
    batches: Batches
    rows: int

    def stream(self, opened: stream.Stream) -> Any:
        """Return a stream like `opened` that reads the batches of the group."""
        return _Shared(opened, self.batches, self.member.index)

    def leave(self) -> None:
        """Take the row out of the group."""
        self.member.group.leave(self.member.index)
        self.batches.leave(self.member.index)


class _Shared:
    """A stream whose batches are those of a group."""

    def __init__(self, opened: stream.Stream, batches: Batches, index: int):
        self._opened, self._batches, self._index = opened, batches, index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    def read(self, start: int, ledger: bad_clips.Notes | None = None) -> Iterator[stream.HostArrays]:
        """Iterate over the batches from a step; see `stream.Stream.read`."""
        return self._batches.read(self._index, self._opened, start, ledger)
