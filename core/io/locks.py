"""Lock files of processes on one machine, and the files from which leases between machines are made."""

import contextlib
import datetime
import fcntl
import os
import pathlib
from collections.abc import Iterator

from prismlab.core import errors
from prismlab.core.io import buckets, file_errors, filesystem, in_place


@contextlib.contextmanager
def held(path: pathlib.Path, busy: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if missing and keeps its content.

    Args:
        path: the lock file; its folder is created if missing. A link is refused, not followed.
        busy: message if another process holds the lock; None waits for it.

    Raises:
        UserError: the path is a link or cannot be written, or another process holds the lock.
    """
    with file_errors.translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = in_place.open_in_place(path)
    with os.fdopen(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise errors.UserError(busy or "") from error
        yield


def create(path: filesystem.PathLike, data: bytes) -> None:
    """Create a new file exclusively; of concurrent callers, exactly one succeeds.

    Args:
        path: the file.
        data: its content.

    Raises:
        FileExistsError: the file already exists.
    """
    if filesystem.is_remote(path):
        # Conditional write: succeeds only if the object does not exist (generation 0).
        system, inner = buckets.connect(path)
        system.pipe_file(inner, data, mode="create")
        return
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb") as file:
        file.write(data)


def touch(path: filesystem.PathLike, data: bytes) -> None:
    """Update the modification time of a file (lease renewal).

    Args:
        path: the file.
        data: its unchanged content; a bucket object has to be rewritten.
    """
    if filesystem.is_remote(path):
        system, inner = buckets.connect(path)
        system.pipe_file(inner, data, timeout=20)  # a late lease renewal counts as missed
    else:
        os.utime(path)


def modified_time(path: filesystem.PathLike) -> float:
    """Return the modification time of a file, in seconds since 1970 by the clock of the disk or bucket.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if not filesystem.is_remote(path):
        return os.stat(path).st_mtime
    system, inner = buckets.connect(path)
    modified: datetime.datetime = system.modified(inner)
    return modified.timestamp()
