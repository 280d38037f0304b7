"""TensorBoard copy of the event log: written in this thread, given up after the first error."""

import contextlib
import functools
import logging
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

_log = logging.getLogger(__name__)


class TensorBoard:
    """Writer that copies the numbers of the event log to TensorBoard files.

    The event log is the record; this copy must never stop training. `tensorboardX.SummaryWriter` writes in
    a thread behind a bounded queue: if that thread dies (disk full, quota, I/O error), the training thread
    blocks forever. Its lower layer, used here, raises in this thread; the copy is then given up with a line.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        warn: Callable[[str], None] = _log.warning,
    ):
        """Open the files.

        Args:
            directory: folder for the TensorBoard files; created if missing.
            resume_step: last step to keep; TensorBoard hides later steps written by an earlier run.
            warn: called with one line if the copy is given up.
        """
        self._directory, self._warn = pathlib.Path(directory), warn
        self._writer: Any = None
        self._try(lambda: self._open(resume_step))

    def _open(self, resume_step: int | None) -> None:
        # Imported here: slow and rarely needed.
        from tensorboardX import event_file_writer, proto

        self._directory.mkdir(parents=True, exist_ok=True)
        self._writer = event_file_writer.EventsWriter(str(self._directory / "events"))
        if resume_step is not None:
            event = proto.event_pb2.Event(wall_time=time.time(), step=resume_step + 1)
            event.session_log.status = proto.event_pb2.SessionLog.START
            self._writer.write_event(event)

    def _try(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except OSError as error:
            writer, self._writer = self._writer, None
            self._warn(
                f"TensorBoard files in {self._directory} cannot be written ({error.strerror or error}); "
                "training continues without them, events.jsonl has the same numbers"
            )
            _abandon(writer)

    def write(self, step: int, kind: str, scalars: Mapping[str, Any]) -> None:
        """Add every number of an event under the tag kind/name; strings and None are skipped."""
        if self._writer is None:
            return
        from tensorboardX import proto, summary

        for name, value in scalars.items():
            if isinstance(value, int | float) and self._writer is not None:
                found = summary.scalar(f"{kind}/{name}", value)
                event = proto.event_pb2.Event(wall_time=time.time(), step=step, summary=found)
                self._try(functools.partial(self._writer.write_event, event))

    def flush(self) -> None:
        """Write buffered values to the files."""
        if self._writer is not None:
            self._try(self._writer.flush)

    def close(self) -> None:
        """Close the files."""
        if self._writer is not None:
            self._try(self._writer.close)
            self._writer = None


def _abandon(writer: Any) -> None:
    """Close a file whose buffer cannot be written, so that its destructor does not fail later."""
    file = getattr(getattr(writer, "_py_recordio_writer", None), "_writer", None)
    if file is not None:
        with contextlib.suppress(OSError):  # reported already; the descriptor is closed
            file.close()
