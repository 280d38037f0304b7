"""The event log: one JSON object a line, appended as the run goes, cut back when it resumes.

A line is {"step": int, "time": seconds since 1970, "kind": str, name: scalar, ...}. Since a resumed
run first drops every line behind its checkpoint, its log equals that of an uninterrupted run in
everything but the clock. Call `flush(sync=True)` before a checkpoint of step k is written and log
nothing more of step k afterwards; then the log always reaches as far as the newest checkpoint.
"""

import json
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import atomic, filesystem

Scalar = float | int | str | bool | None

# JSON has no word for these; they are written as strings, and read back as numbers.
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_OWN_FIELDS = ("step", "time", "kind")


def _plain(name: str, value: Any) -> Scalar:
    """Return a value that JSON can hold, from a Python or an array scalar."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if not isinstance(value, Scalar):
        raise TypeError(f"event field {name!r} wants a number, a string, a bool or None; got {type(value)}")
    return value


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the event of one line, or None when the line is not a whole event."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or not all(field in event for field in _OWN_FIELDS):
        return None
    return event


def _whole_lines(path: filesystem.Place, content: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Return each whole line of a file with its event; only a torn last line may be left out."""
    *lines, rest = content.split(b"\n")
    whole = []
    for number, line in enumerate(lines, start=1):
        event = _parse(line)
        if event is None:
            # A machine that stops may leave a last line of the right length but without its content.
            if number == len(lines) and not rest:
                break
            raise errors.UserError(
                f"wanted one JSON event a line in {path}, but line {number} is none: "
                "repair or remove that line, or start the run in a new folder"
            )
        whole.append((line + b"\n", event))
    return whole


def read(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Return the events of a log, oldest first, without a torn last line.

    Args:
        path: the log file.

    Returns:
        One dictionary a line: step, time, kind and the scalars. "nan", "inf" and "-inf" are read as numbers.

    Raises:
        UserError: when the file is missing, or a line before the last one is damaged.
    """
    source = filesystem.kept(path)
    if not source.is_file():
        raise errors.UserError(
            f"wanted an event log at {source}, but there is no such file: check the folder"
        )
    return [
        {
            name: _NOT_FINITE.get(value, value)
            if isinstance(value, str) and name not in _OWN_FIELDS
            else value
            for name, value in event.items()
        }
        for _, event in _whole_lines(source, filesystem.read(source))
    ]


class TensorBoard:
    """A mirror of the numbers for TensorBoard; the JSON lines stay the record."""

    def __init__(self, directory: str | os.PathLike, *, resume_step: int | None = None):
        """Open a writer.

        Args:
            directory: folder of the TensorBoard files.
            resume_step: last step to keep; TensorBoard hides what an earlier run wrote behind it.
        """
        import tensorboardX  # here, because most runs never need it and it is slow to import

        purge = None if resume_step is None else resume_step + 1
        self._writer = tensorboardX.SummaryWriter(str(directory), purge_step=purge)

    def write(self, step: int, kind: str, scalars: Mapping[str, Scalar]) -> None:
        """Add every number of an event under the tag kind/name; words and None are left out."""
        for name, value in scalars.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def flush(self) -> None:
        """Hand what was added to the files."""
        self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


class Silent:
    """What a process that writes no log has in place of one."""

    def write(self, step: int, kind: str, scalars: Mapping[str, Any]) -> None:
        """Do nothing."""

    def flush(self, *, sync: bool = False) -> None:
        """Do nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class EventLog:
    """An append-only log of scalars; a context manager.

    In a bucket nothing can be appended to: there the log is kept in a temporary file of this machine and
    written whole when the disk shall hold it (`flush(sync=True)`) and at the end.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        resume_step: int | None = None,
        tensorboard: TensorBoard | None = None,
        flush_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
    ):
        """Open the log for appending, after cutting it back to `resume_step`.

        Args:
            path: the log file; it and its folder are made when missing.
            resume_step: last step to keep: lines of a later step and a torn last line are removed.
                0 for a run that starts afresh; None keeps every whole line.
            tensorboard: a mirror that gets the same numbers, closed together with the log.
            flush_seconds: longest time in seconds that a line waits in memory (checked at each write).
            clock: gives the time in seconds since 1970; tests replace it.

        Raises:
            UserError: when a line before the last one is damaged, or the disk is full.
        """
        self._home = filesystem.kept(path)
        self._spool: tempfile.TemporaryDirectory | None = None
        if isinstance(self._home, pathlib.Path):
            self._path = self._home
        else:
            self._spool = tempfile.TemporaryDirectory(prefix="prismlab-")
            self._path = pathlib.Path(self._spool.name) / self._home.name
            self._path.write_bytes(atomic.read_if_there(self._home))
        self._tensorboard = tensorboard
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._waiting: list[bytes] = []
        self._flushed_at = clock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            kept = b"".join(
                line
                for line, event in _whole_lines(self._home, self._path.read_bytes())
                if resume_step is None or event["step"] <= resume_step
            )
            if len(kept) != self._path.stat().st_size:
                atomic.write_atomic(self._path, kept)
        self._descriptor: int | None = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, step: int, kind: str, scalars: Mapping[str, Any]) -> None:
        """Append one event.

        Args:
            step: training step that the scalars belong to, >= 0.
            kind: what sort of event it is, such as "train" or "eval".
            scalars: name to number, string, bool or None; array scalars must be on the host already.

        Raises:
            UserError: when the disk is full.
            TypeError: when a value is no scalar.
        """
        assert self._descriptor is not None, "the log is closed"
        taken = [name for name in scalars if name in _OWN_FIELDS]
        assert not taken, f"{taken} are fields that the log writes itself"
        plain = {name: _plain(name, value) for name, value in scalars.items()}
        now = self._clock()
        event = {"step": int(step), "time": round(now, 3), "kind": kind, **plain}
        self._waiting.append(json.dumps(event, allow_nan=False).encode() + b"\n")
        if self._tensorboard is not None:
            numbers = {name: _NOT_FINITE.get(value, value) for name, value in plain.items()}  # type: ignore[arg-type]
            self._tensorboard.write(int(step), kind, numbers)
        if now - self._flushed_at >= self._flush_seconds:
            self.flush()

    def flush(self, *, sync: bool = False) -> None:
        """Hand the waiting lines to the operating system.

        Args:
            sync: also wait until the disk holds them; do so before a checkpoint.

        Raises:
            UserError: the disk is full (the file then ends with its last whole line) or the bucket refuses.
        """
        assert self._descriptor is not None, "the log is closed"
        data = b"".join(self._waiting)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            self._waiting.clear()
            raise atomic.disk_error(self._path, error) from error
        self._size += sum(map(len, self._waiting))
        self._waiting.clear()
        self._flushed_at = self._clock()
        if self._spool is not None and sync:
            atomic.write_atomic(self._home, self._path.read_bytes())
        if self._tensorboard is not None and sync:
            self._tensorboard.flush()

    def close(self) -> None:
        """Write what waits and close the file; closing twice is harmless."""
        if self._descriptor is None:
            return
        try:
            self.flush(sync=self._spool is not None)
        finally:
            os.close(self._descriptor)
            self._descriptor = None
            if self._spool is not None:
                self._spool.cleanup()
            if self._tensorboard is not None:
                self._tensorboard.close()

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
