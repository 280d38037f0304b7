"""Files written whole or not at all, here or in a bucket."""

import errno
import os
import pathlib
import tempfile

from prismlab.core import errors
from prismlab.core.io import filesystem


def disk_error(path: filesystem.Place, error: OSError) -> Exception:
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

    An object of a bucket is written whole by itself.

    Args:
        path: where the file shall stand; its folder is made when missing.
        data: the whole content.

    Raises:
        UserError: when the disk is full or the bucket refuses; an older file there stays as it was.
    """
    if filesystem.is_remote(path):
        with filesystem.told(path):
            filesystem.place(os.fspath(path)).write_bytes(data)
        return
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


def append(path: filesystem.Place, data: bytes) -> None:
    """Add to the end of a file and wait until the disk holds it; in a bucket the file is written anew.

    Args:
        path: the file; it and its folder are made when missing.
        data: what is added; nobody else may add at the same time.

    Raises:
        UserError: when the disk is full or the bucket refuses.
    """
    if filesystem.is_remote(path):
        write_atomic(path, read_if_there(path) + data)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_error(path, error) from error


def read_if_there(path: filesystem.Place) -> bytes:
    """Return the content of a file, nothing where there is none.

    Raises:
        UserError: a bucket refuses to tell.
    """
    with filesystem.told(path):
        try:
            return filesystem.read(path)
        except FileNotFoundError:
            return b""
