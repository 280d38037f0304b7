"""Lock files of processes on one machine."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator

from prismlab.core import errors


@contextlib.contextmanager
def held(path: pathlib.Path, busy: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is created if missing and keeps its content.

    Args:
        path: the lock file; its folder is created if missing. A link is refused, not followed.
        busy: message if another process holds the lock; None waits for it.

    Raises:
        UserError: the path is a link, or another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise errors.UserError(
                f"{path}: expected a lock file, found a link; find out who made it, then delete it"
            ) from error
        raise
    with os.fdopen(descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise errors.UserError(busy or "") from error
        yield
