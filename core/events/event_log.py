"""Event log of a run in JSON lines format, truncated to the checkpoint on resume.

A line is {"step": int, "time": seconds since 1970, "kind": str, name: scalar, ...}. A resumed run first
drops all lines later than its checkpoint, so its log equals that of an uninterrupted run except for
times. Call `flush(sync=True)` before writing the checkpoint of step k and log nothing for step k
afterwards; then the log always covers the newest checkpoint.
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
from prismlab.core.events import event_lines
from prismlab.core.events import tensorboard as tensorboard_module
from prismlab.core.io import file_errors, filesystem, in_place

Scalar = float | int | str | bool | None


def _plain(name: str, value: Any) -> Scalar:
    """Convert a Python or array scalar to a JSON value."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if not isinstance(value, Scalar):
        raise TypeError(f"event field {name!r} expected a number, string, bool or None, got {type(value)}")
    return value


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return all events of a log, oldest first; `event_lines.events` reads a long log one by one.

    Args:
        path: the log file.

    Raises:
        UserError: the file is missing, or a line before the last one is invalid.
    """
    return list(event_lines.events(path))


class Silent:
    """No-op event log, for processes other than the main one."""

    def write(self, step: int, kind: str, scalars: Mapping[str, Any]) -> None:
        """Do nothing."""

    def hold_after(self, step: int | None) -> None:
        """Do nothing."""

    def flush(self, *, sync: bool = False) -> None:
        """Do nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class EventLog:
    """Append-only log of scalars; a context manager.

    Bucket objects cannot be appended to: for a bucket path the log is kept in a local temporary file and
    uploaded as a whole on `flush(sync=True)` and on close.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        tensorboard: tensorboard_module.TensorBoard | None = None,
        flush_seconds: float = 1.0,
        clock: Callable[[], float] = time.time,
    ):
        """Open the log for appending, after truncating it to `resume_step`.

        Args:
            path: the log file; it and its folder are created if missing.
            resume_step: last step to keep: lines of later steps and an incomplete last line are removed.
                0 for a new run; None keeps every complete line.
            tensorboard: writer that receives the same numbers; closed together with the log.
            flush_seconds: maximum time in seconds that a line is buffered (checked at each write).
            clock: returns the time in seconds since 1970; replaceable for tests.

        Raises:
            UserError: a line before the last one is invalid, the path is a link, or the disk is full.
        """
        self._home = filesystem.as_path(path)
        self._spool: tempfile.TemporaryDirectory[str] | None = None
        self._tensorboard = tensorboard
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._waiting: list[bytes] = []
        self._held: list[bytes] = []
        self._open_step: int | None = None
        self._flushed_at = clock()
        self._descriptor: int | None = None
        if isinstance(self._home, pathlib.Path):
            self._open(self._home, resume_step)
            return
        self._spool = tempfile.TemporaryDirectory(prefix="prismlab-")
        try:
            local = pathlib.Path(self._spool.name) / self._home.name
            filesystem.download_if_exists(self._home, local)
            self._open(local, resume_step)
        except BaseException:
            self._spool.cleanup()
            raise

    def _open(self, path: pathlib.Path, resume_step: int | None) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            event_lines.cut(path, resume_step, self._home)
        self._descriptor = in_place.open_in_place(path)
        self._size = os.fstat(self._descriptor).st_size

    def write(self, step: int, kind: str, scalars: Mapping[str, Any]) -> None:
        """Append one event.

        Args:
            step: training step that the scalars belong to, >= 0.
            kind: event type, such as "train" or "eval".
            scalars: name to number, string, bool or None; array scalars must already be on the host.

        Raises:
            UserError: the disk is full, or the file was deleted.
            TypeError: a value is not a scalar.
        """
        assert self._descriptor is not None, "the log is closed"
        taken = [name for name in scalars if name in event_lines.OWN_FIELDS]
        if taken:
            raise errors.UserError(f"{taken} are fields that the event log writes itself; use another name")
        plain = {name: _plain(name, value) for name, value in scalars.items()}
        now = self._clock()
        event = {"step": int(step), "time": round(now, 3), "kind": kind, **plain}
        later = self._open_step is not None and step > self._open_step
        lines = self._held if later else self._waiting
        lines.append(json.dumps(event, allow_nan=False).encode() + b"\n")
        if self._tensorboard is not None:
            numbers = {name: event_lines.NOT_FINITE.get(value, value) for name, value in plain.items()}  # type: ignore[arg-type]
            self._tensorboard.write(int(step), kind, numbers)
        if now - self._flushed_at >= self._flush_seconds:
            self.flush()

    def hold_after(self, step: int | None) -> None:
        """Hold back lines of later steps, so that lines are in the order of their steps.

        The loop reads the batch of step k + 1 before it has the metrics of step k. Without this, the order of
        their lines would depend on whether the run was stopped in between.

        Args:
            step: step whose lines are not complete; None when it is, which releases the held lines.
        """
        if step is None:
            self._waiting += self._held
            self._held.clear()
        self._open_step = step

    def flush(self, *, sync: bool = False) -> None:
        """Write buffered lines to the file.

        Args:
            sync: also fsync (and upload to the bucket); required before a checkpoint.

        Raises:
            UserError: the disk is full (the file then ends with its last complete line), the file was
                deleted or the upload fails.
        """
        assert self._descriptor is not None, "the log is closed"
        in_place.check_not_deleted(self._path, self._descriptor)
        data = b"".join(self._waiting)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            self._waiting.clear()
            raise file_errors.as_user_error(self._path, error) from error
        self._size += sum(map(len, self._waiting))
        self._waiting.clear()
        self._flushed_at = self._clock()
        if self._spool is not None and sync:
            filesystem.upload(self._path, self._home)
        if self._tensorboard is not None and sync:
            self._tensorboard.flush()

    def close(self) -> None:
        """Write buffered lines and close the file; may be called more than once."""
        if self._descriptor is None:
            return
        self.hold_after(None)
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
