"""Path arguments of the command line: local files, or directories that may be in a bucket.

They are `type=` functions of argparse, which replaces the message of a ValueError, and so of a UserError, by
"invalid value" and prints the usage; `explained` lets it through to `main` as one line.
"""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

from prismlab.core import errors
from prismlab.core.io import user_paths

T = TypeVar("T")


class RefusedArgument(Exception):
    """A UserError about an argument, on its way through argparse; not a ValueError."""


def explained(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a function for `type=` of argparse that keeps the message of a UserError.

    Args:
        parse: text -> value; may raise UserError.
    """

    @functools.wraps(parse)
    def wrapped(text: str) -> T:
        try:
            return parse(text)
        except errors.UserError as error:
            raise RefusedArgument(str(error)) from error

    return wrapped


@explained
def local(text: str) -> pathlib.Path:
    """Return a local path.

    Raises:
        UserError: the text is empty or a URL.
    """
    return user_paths.local(text)


@explained
def any_place(text: str) -> str:
    """Return the text of a path, URL, glob pattern or name; "~" becomes the home directory.

    Raises:
        UserError: the text is empty.
    """
    return user_paths.expand(text)


@explained
def path(text: str) -> Any:
    """Return the local directory or bucket folder; checks that the bucket is reachable."""
    from prismlab.core.io import filesystem  # here because it is slow to import

    return filesystem.check_reachable(filesystem.parse_path(text))
