"""Open files that are changed in place (locks, logs), safely in folders that others can write to."""

import errno
import os
import stat

from prismlab.core import errors
from prismlab.core.io import file_errors


def open_in_place(path: str | os.PathLike[str]) -> int:
    """Open a regular file for reading and appending; it is created if missing and never truncated.

    Args:
        path: a local file in an existing folder. A link is refused, not followed, since it could lead to a
            file of another program; so are pipes and devices.

    Returns:
        The file descriptor, which the caller closes.

    Raises:
        UserError: the path is no regular file, or it cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with file_errors.translate_errors(path):
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _refused(path, "a link") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _refused(path, "a pipe or device")
    return descriptor


def check_not_deleted(path: str | os.PathLike[str], descriptor: int) -> None:
    """Check that a file opened with `open_in_place` is still in its folder.

    Args:
        path: the file.
        descriptor: its file descriptor.

    Raises:
        UserError: the file was deleted, so that all that is written to it is lost.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        return  # the disk does not answer: writing fails, with its reason
    else:
        if os.fstat(descriptor).st_nlink > 0:
            return
    raise errors.UserError(
        f"{os.fspath(path)}: was deleted while this process wrote to it; run the same command again, which "
        "creates what is missing"
    )


def _refused(path: str | os.PathLike[str], found: str) -> errors.UserError:
    return errors.UserError(
        f"{os.fspath(path)}: expected a regular file, found {found}; find out who made it, then delete it"
    )
