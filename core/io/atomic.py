"""Atomic file writes, to local disks and buckets."""

import errno
import os
import pathlib
import tempfile

from prismlab.core import errors
from prismlab.core.io import filesystem


def disk_error(path: filesystem.Place, error: OSError) -> Exception:
    """Convert a disk-full or quota error to a UserError; return any other error unchanged.

    Args:
        path: the file that was being written.
        error: the error of the operating system.

    Returns:
        The exception to raise.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.UserError(
            f"cannot write {path}: the disk or the quota is full: free some space, then run again"
        )
    return error


def settle(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Rename a finished temporary file to its target, with the default permissions of a new file.

    Args:
        temporary: created by tempfile.mkstemp in the same folder, with private permissions.
        target: its final path.
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    os.replace(temporary, target)


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: to a temporary file in the same folder, then rename.

    Bucket objects are written directly, since object writes are atomic.

    Args:
        path: the file; its folder is created if missing.
        data: the whole content.

    Raises:
        UserError: the disk is full or the bucket request fails; an existing file is left unchanged.
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
    """Append to a file and fsync it; in a bucket, rewrite the whole object.

    Args:
        path: the file; it and its folder are created if missing.
        data: bytes to append; there must be no concurrent writers.

    Raises:
        UserError: the disk is full or the bucket request fails.
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
    """Return the content of a file, or b"" if it does not exist.

    Raises:
        UserError: the bucket request fails.
    """
    with filesystem.told(path):
        try:
            return filesystem.read(path)
        except FileNotFoundError:
            return b""
