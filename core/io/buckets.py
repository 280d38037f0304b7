"""Connections to object stores: fsspec file systems, the settings of gcsfs, and which errors are theirs."""

import functools
import importlib.util
import logging
import os
import re
import sys
from typing import Any

from etils import epath

from prismlab.core import errors

PREFIX = "gs://"


def is_google(path: str | os.PathLike[str]) -> bool:
    """Return True if a path is in a Google Cloud Storage bucket."""
    return os.fspath(path).startswith(PREFIX)


def parse(text: str) -> epath.Path:
    """Parse gs://bucket/folder.

    Raises:
        UserError: another URL scheme, missing bucket, glob characters, or gcsfs is not installed.
    """
    if not re.fullmatch(r"gs://[^/*?[\]]+(/[^/*?[\]]+)*/?", text):
        raise errors.UserError(
            f"{text!r}: expected a directory or gs://BUCKET/FOLDER; other URL schemes and the characters "
            "* ? [ ] are not supported"
        )
    if importlib.util.find_spec("gcsfs") is None:
        raise errors.UserError(f"{text} needs gcsfs, which is not installed: {errors.install_extra('gs')}")
    configure()
    return epath.Path(text)


def check_reachable(path: str | os.PathLike[str]) -> None:
    """Check that the bucket of a Google URL is accessible.

    Raises:
        Unreachable: the bucket does not exist, or its objects may not be listed.
    """
    bucket = os.fspath(path).removeprefix(PREFIX).partition("/")[0]
    try:
        connect(path)[0].call("GET", "b/{}/o", bucket, maxResults=1)
    except Exception as error:
        if not is_fault(error):
            raise
        raise unreachable(path, error) from error


class Unreachable(errors.UserError):
    """Bucket unavailable or request failed, possibly temporarily; callers may retry."""


def unreachable(path: str | os.PathLike[str], error: Exception) -> Unreachable:
    """Return the one-line error for a failed request."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    reason = f"not found: {reason}" if isinstance(error, FileNotFoundError) else reason
    return Unreachable(
        f"{os.fspath(path)}: bucket request failed ({reason}); correct the name, or get permission to "
        "read and write objects there (gcloud auth application-default login)"
    )


def connect(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """Return the fsspec file system of a path or URL, and the path in that file system.

    Args:
        path: gs://bucket/folder, s3://bucket/folder, memory://folder, a local path.

    Raises:
        UserError: unknown URL scheme, or its package (gcsfs, s3fs, ...) is not installed.
    """
    if is_google(path):
        configure()
    import fsspec

    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(os.fspath(path))
        return found
    except (ImportError, ValueError) as error:
        raise errors.UserError(
            f"{os.fspath(path)}: expected a file system that fsspec supports, got '{error}'; install it or "
            "fix the URL"
        ) from error


@functools.cache
def configure() -> None:
    """Configure gcsfs and etils; called before the first use of a bucket, never at import."""
    # Always use gcsfs with the JSON API. By default gcsfs asks another service for the bucket type, and its
    # create is unconditional for some types; etils would use TensorFlow.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    os.environ.setdefault("EPATH_USE_TF", "false")
    import fsspec

    # No listing cache: files written by other processes must be visible.
    for name in ("gs", "gcs"):
        fsspec.config.conf.setdefault(name, {})["use_listings_cache"] = False
    # Errors are reported once, by `file_errors.translate_errors`; gcsfs would also log them with a traceback.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def is_fault(error: BaseException) -> bool:
    """Return True if an error comes from a Google bucket or the connection to it, not from our code."""
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
