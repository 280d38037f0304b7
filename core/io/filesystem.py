"""Paths for work directories: local (or shared) directories and bucket folders (`gs://bucket/run`).

Both have pathlib's interface (etils' epath for buckets). Bucket objects are written atomically and are
visible to all readers at once, but there are no locks, no appending and no touch; this module and
`core/io/atomic.py` provide replacements.
"""

import contextlib
import datetime
import functools
import importlib.util
import logging
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, TypeAlias

from etils import epath

from prismlab.core import errors

Place: TypeAlias = pathlib.Path | epath.Path
PREFIX = "gs://"


def place(text: str) -> Place:
    """Parse a local path or a gs:// URL.

    Args:
        text: a path, or gs://bucket/folder.

    Raises:
        UserError: unsupported URL scheme, missing bucket, glob characters, or gcsfs is not installed.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        return pathlib.Path(text)
    if not re.fullmatch(r"gs://[^/*?[\]]+(/[^/*?[\]]+)*/?", text):
        raise errors.UserError(
            f"{text!r}: expected a directory or gs://BUCKET/FOLDER; other URL schemes and the characters "
            "* ? [ ] are not supported"
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise errors.UserError(f"{text} needs gcsfs, which is not installed: {errors.install_extra('gs')}")
    configure_buckets()
    return epath.Path(text)


def is_remote(where: str | os.PathLike[str]) -> bool:
    """Return True if a path is in a bucket."""
    return os.fspath(where).startswith(PREFIX)


def kept(where: str | os.PathLike[str]) -> Place:
    """Convert a string to a path with `place`; return path objects unchanged."""
    return where if isinstance(where, pathlib.Path | epath.Path) else place(os.fspath(where))


def absolute(where: Place) -> Place:
    """Return the absolute path."""
    return where if isinstance(where, epath.Path) else where.absolute()


class Unreachable(errors.UserError):
    """Bucket unavailable or request failed, possibly temporarily; callers may retry."""


def read(path: Place) -> bytes:
    """Return the content of a file, read in one request.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    return _system().cat_file(os.fspath(path)) if is_remote(path) else path.read_bytes()


def create(path: Place, data: bytes) -> None:
    """Create a new file exclusively; of concurrent callers, exactly one succeeds.

    Args:
        path: the file.
        data: its content.

    Raises:
        FileExistsError: the file already exists.
    """
    if is_remote(path):
        # Conditional write: succeeds only if the object does not exist (generation 0).
        _system().pipe_file(os.fspath(path), data, mode="create")
        return
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb") as file:
        file.write(data)


def renew(path: Place, data: bytes) -> None:
    """Update the modification time of a file (lease renewal).

    Args:
        path: the file.
        data: its unchanged content; a bucket object has to be rewritten.
    """
    if is_remote(path):
        _system().pipe_file(os.fspath(path), data, timeout=20)  # a late lease renewal counts as missed
    else:
        os.utime(path)


def changed(path: Place) -> float:
    """Return the modification time of a file, in seconds since 1970 by the clock of the disk or bucket.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if is_remote(path):
        changed: datetime.datetime = _system().modified(os.fspath(path))
        return changed.timestamp()
    return os.stat(path).st_mtime


def reach(where: Place) -> Place:
    """Check that the bucket of a path is accessible, and return the path.

    Raises:
        UserError: the bucket does not exist, or its objects may not be listed.
    """
    if is_remote(where):
        bucket = os.fspath(where).removeprefix(PREFIX).partition("/")[0]
        with told(where):
            _system().call("GET", "b/{}/o", bucket, maxResults=1)
    return where


@contextlib.contextmanager
def told(where: str | os.PathLike[str]) -> Iterator[None]:
    """Convert bucket errors (missing bucket, no permission, no connection) to a one-line Unreachable.

    Raises:
        Unreachable: the bucket request failed. Errors of local files and of our code pass through.
    """
    try:
        yield
    except Exception as error:
        if not is_remote(where) or isinstance(error, FileExistsError) or not is_fault(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f"not found: {reason}" if isinstance(error, FileNotFoundError) else reason
        raise Unreachable(
            f"{os.fspath(where)}: bucket request failed ({reason}); correct the name, or get permission to "
            "read and write objects there (gcloud auth application-default login)"
        ) from error


def is_fault(error: BaseException) -> bool:
    """Return True if an error comes from the bucket or the connection to it, not from our code."""
    if "gcsfs" not in sys.modules:
        return False
    import aiohttp
    import fsspec.exceptions
    import gcsfs.retry
    import google.auth.exceptions
    import requests

    # gcsfs raises refused requests as OSError or ValueError, without an errno.
    refused = isinstance(error, OSError) and error.errno is None
    return (
        refused
        or str(error).startswith("Bad Request")
        or isinstance(
            error,
            gcsfs.retry.HttpError
            | aiohttp.ClientError
            | google.auth.exceptions.GoogleAuthError
            | requests.RequestException
            | fsspec.exceptions.FSTimeoutError,
        )
    )


@functools.cache
def configure_buckets() -> None:
    """Configure gcsfs and etils; called before the first use of a bucket, never at import."""
    # Always use gcsfs with the JSON API. By default gcsfs asks another service for the bucket type, and its
    # create is unconditional for some types; etils would use TensorFlow.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    os.environ.setdefault("EPATH_USE_TF", "false")
    import fsspec

    # No listing cache: files written by other processes must be visible.
    for name in ("gs", "gcs"):
        fsspec.config.conf.setdefault(name, {})["use_listings_cache"] = False
    # Errors are reported once, by `told`; gcsfs would also log them with a traceback.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def _system() -> Any:
    import fsspec

    configure_buckets()
    return fsspec.filesystem("gs")
