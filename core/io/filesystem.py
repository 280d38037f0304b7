"""Where results lie: a directory here or on a shared disk, or one in a bucket (`gs://bucket/run`).

Both are used by the same calls: pathlib's, which etils' epath has for buckets. An object of a bucket is
written whole or not at all and then seen by everybody, but there is no lock, no appending and no touching;
what must be done otherwise for that reason is done here and in `core/io/atomic.py`.
"""

import contextlib
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
    """Return the place that a path or a URL names.

    Args:
        text: a path, or gs://bucket/folder.

    Raises:
        UserError: another kind of URL, no bucket, a sign that patterns use, or what reads buckets is missing.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        return pathlib.Path(text)
    if not re.fullmatch(r"gs://[^/*?[\]]+(/[^/*?[\]]+)*/?", text):
        raise errors.UserError(
            f"{text!r}: wanted a directory or gs://BUCKET/FOLDER; of URLs only buckets of Google are known, "
            "without the signs * ? [ ]"
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise errors.UserError(f"{text} needs gcsfs, which is not installed: pip install 'prismlab[gs]'")
    return epath.Path(text)


def is_remote(where: str | os.PathLike[str]) -> bool:
    """Return whether a place lies in a bucket."""
    return os.fspath(where).startswith(PREFIX)


def kept(where: str | os.PathLike[str]) -> Place:
    """Return a place that stays what it is when it was one already; a path or URL becomes one."""
    return where if isinstance(where, pathlib.Path | epath.Path) else place(os.fspath(where))


def absolute(where: Place) -> Place:
    """Return the place by its full name."""
    return where if isinstance(where, epath.Path) else where.absolute()


class Unreachable(errors.UserError):
    """A bucket did not do what was asked, perhaps only for now: whoever comes later may try again."""


def read(path: Place) -> bytes:
    """Return the content of a file, as it was at one moment.

    Raises:
        FileNotFoundError: it is not there.
    """
    return _system().cat_file(os.fspath(path)) if is_remote(path) else path.read_bytes()


def create(path: Place, data: bytes) -> None:
    """Write a new file; of many who try at once, one succeeds.

    Args:
        path: the file.
        data: its content.

    Raises:
        FileExistsError: it is there already.
    """
    if is_remote(path):
        # The bucket takes it on condition that no object of that name is there (generation 0).
        _system().pipe_file(os.fspath(path), data, mode="create")
        return
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb") as file:
        file.write(data)


def renew(path: Place, data: bytes) -> None:
    """Give a file a new time of change.

    Args:
        path: the file.
        data: its content, which stays the same: an object can only be written again.
    """
    if is_remote(path):
        _system().pipe_file(os.fspath(path), data, timeout=20)  # a late sign of life is none
    else:
        os.utime(path)


def changed(path: Place) -> float:
    """Return when a file was last changed, in seconds since 1970 by the clock of the disk or bucket.

    Raises:
        FileNotFoundError: it is not there.
    """
    if is_remote(path):
        return _system().modified(os.fspath(path)).timestamp()
    return os.stat(path).st_mtime


def reach(where: Place) -> Place:
    """Return a place after one question to its bucket, so that a wrong name is told before anything starts.

    Raises:
        UserError: there is no such bucket, or no right to list its objects.
    """
    if is_remote(where):
        bucket = os.fspath(where).removeprefix(PREFIX).partition("/")[0]
        with told(where):
            _system().call("GET", "b/{}/o", bucket, maxResults=1)
    return where


@contextlib.contextmanager
def told(where: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what a bucket says into one line: no such bucket, no right to it, no way to it.

    Raises:
        Unreachable: the bucket did not do what was asked. Errors of local files, and of ours, go through.
    """
    try:
        yield
    except Exception as error:
        if not is_remote(where) or isinstance(error, FileExistsError) or not is_fault(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f"nothing is there: {reason}" if isinstance(error, FileNotFoundError) else reason
        raise Unreachable(
            f"{os.fspath(where)}: the bucket refused ({reason}); correct its name, or get the right to read "
            "and write objects there (gcloud auth application-default login)"
        ) from error


def is_fault(error: BaseException) -> bool:
    """Return whether an error comes from a bucket, or the way to it, and not from our code."""
    if "gcsfs" not in sys.modules:
        return False
    import aiohttp
    import fsspec.exceptions
    import gcsfs.retry
    import google.auth.exceptions
    import requests

    # gcsfs says what it was refused as OSError or ValueError, without a number.
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


def _prepare() -> None:
    # One way to a bucket for all: gcsfs by the JSON interface. Left alone it would ask another service what
    # kind of bucket it is, and create without a condition in some; etils would go by TensorFlow.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    os.environ.setdefault("EPATH_USE_TF", "false")
    import fsspec

    # Every listing is a new one: what others wrote since must be seen.
    for name in ("gs", "gcs"):
        fsspec.config.conf.setdefault(name, {})["use_listings_cache"] = False
    # What fails is told once, by `told`; gcsfs would tell it before, traceback and all.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def _system() -> Any:
    import fsspec

    return fsspec.filesystem("gs")


_prepare()
