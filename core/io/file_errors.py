"""Errors of disks and buckets, converted to UserErrors of one line."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import TypeGuard

from prismlab.core import errors
from prismlab.core.io import buckets


@contextlib.contextmanager
def translate_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors of a disk or a bucket (no permission, disk full, no connection) to one-line UserErrors.

    FileExistsError passes through, and so do errors of our code.

    Raises:
        UserError: reading or writing failed; `buckets.Unreachable` if that was a request to a Google bucket.
    """
    try:
        yield
    except (errors.UserError, FileExistsError):
        raise
    except Exception as error:
        if buckets.is_google(path) and buckets.is_fault(error):
            raise buckets.unreachable(path, error) from error
        found = as_system_error(error)
        if found is None:
            raise
        raise as_user_error(path, found) from error


def as_system_error(error: BaseException) -> OSError | None:
    """Return the error of the operating system that an exception stands for, or None.

    Args:
        error: an OSError, or an exception of safetensors (Rust) or TensorStore (C++), whose text has
            the number of the error.
    """
    if isinstance(error, OSError):
        return error
    number = re.search(r"\bos error (\d{1,4})\b", str(error), re.IGNORECASE)
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None


def as_user_error(path: str | os.PathLike[str], error: OSError) -> errors.UserError:
    """Return the one-line error for a file that could not be read or written."""
    path = os.fspath(path)
    if is_full(error):
        return errors.UserError(
            f"cannot write {path}: the disk or the quota is full: free some space, then run again"
        )
    if isinstance(error, FileNotFoundError):
        return errors.UserError(f"{path}: expected a file, found none; correct the path")
    return errors.UserError(
        f"{path}: cannot be read or written: {error.strerror or error}; choose another path or fix its "
        "permissions"
    )


@contextlib.contextmanager
def missing_as_user_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors as `translate_errors` does, and a missing file in a bucket as one on a disk.

    Raises:
        UserError: the file is missing, or reading failed.
    """
    with translate_errors(path):
        try:
            yield
        except FileNotFoundError as error:
            raise as_user_error(path, error) from error


@contextlib.contextmanager
def full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert only the error of a full disk: other errors of a block may concern other files.

    Raises:
        UserError: the disk or the quota is full.
    """
    try:
        yield
    except Exception as error:
        found = as_system_error(error)
        if found is None or not is_full(found):
            raise
        raise as_user_error(path, found) from error


def is_refused(error: BaseException) -> bool:
    """Return True for the error, or its UserError, of a missing permission or a read-only disk."""
    cause = error.__cause__ if isinstance(error, errors.UserError) else error
    return isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Return True for the error of a full disk or an exceeded quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
