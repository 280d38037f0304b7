"""Files written whole or not at all."""

import errno
import os
import pathlib
import tempfile

from core import errors


def disk_error(path: pathlib.Path, error: OSError) -> Exception:
    """Turn a full disk into a message for the user; hand any other error back unchanged.

    Args:
        path: the file that was being written.
        error: what the operating system said.

    Returns:
        The exception to raise.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.UserError(
            f"wanted to write {path}, but the disk or the quota is full: free some space, then run again"
        )
    return error


def settle(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Give a finished temporary file its name and the rights of any new file.

    Args:
        temporary: made by tempfile.mkstemp in the same folder, hence private until now.
        target: its name from now on.
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    os.replace(temporary, target)


def write_atomic(path: str | os.PathLike, data: bytes) -> None:
    """Write a file through a temporary neighbour and a rename, so no reader sees half of it.

    Args:
        path: where the file shall stand; its folder is made when missing.
        data: the whole content.

    Raises:
        UserError: when the disk is full; an older file at the same path stays as it was.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        settle(pathlib.Path(temporary), target)
    except BaseException as error:
        pathlib.Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise disk_error(target, error) from error
        raise
