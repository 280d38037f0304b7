"""Path arguments of the command line: local files, or directories that may be in a bucket."""

import pathlib
from typing import Any

from prismlab.core import errors


def local(text: str) -> pathlib.Path:
    """Return a local path.

    Raises:
        UserError: the text is a URL, which pathlib would read as a folder name.
    """
    if "://" in text:
        raise errors.UserError(f"{text}: expected a local path, got a URL; choose a local file or folder")
    return pathlib.Path(text)


def path(text: str) -> Any:
    """Return the local directory or bucket folder; checks that the bucket is reachable."""
    from prismlab.core.io import filesystem  # here because it is slow to import

    return filesystem.check_reachable(filesystem.parse_path(text))
