"""Paths as words of the command line: files of this machine, or places that may lie in a bucket."""

import pathlib
from typing import Any

from prismlab.core import errors


def local(text: str) -> pathlib.Path:
    """Return a path of this machine.

    Raises:
        UserError: a URL, which pathlib would take for a folder of that name.
    """
    if "://" in text:
        raise errors.UserError(
            f"{text}: wanted a path of this machine, got a URL; give a file or folder here"
        )
    return pathlib.Path(text)


def place(text: str) -> Any:
    """Return the directory, or the folder of a bucket, that a word names; a bucket must be within reach."""
    from prismlab.core.io import filesystem  # here, because what knows buckets is slow to import

    return filesystem.reach(filesystem.place(text))
