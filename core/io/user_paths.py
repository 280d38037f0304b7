"""Paths as people write them: on the command line, in gin files and in environment variables.

The shell expands "~" only at the start of a word; `--workdir=~/run` and `path = '~/clips'` arrive as typed.
"""

import os
import pathlib

from prismlab.core import errors


def expand(text: str) -> str:
    """Return a path or URL with a leading "~" or "~user" replaced by the home directory.

    Args:
        text: path or URL.

    Raises:
        UserError: the text is empty (which would mean the current directory), or there is no such home
            directory.
    """
    if not text.strip():
        raise errors.UserError(f"expected a path, got {text!r}; use . for the current directory")
    expanded = os.path.expanduser(text)
    first = text.split("/")[0]
    # "~draft.mp4" is an ordinary name of a file, unless it is the home directory of a user.
    is_home = first == "~" or (first.startswith("~") and "/" in text)
    if expanded == text and is_home and not os.path.lexists(first):
        raise errors.UserError(f"{text}: found no home directory for {first}; write the path in full")
    return expanded


def local(text: str) -> pathlib.Path:
    """Return a local path; see `expand`.

    Raises:
        UserError: the text is empty, a URL (which pathlib would read as the name of a folder), or there is no
            such home directory.
    """
    if "://" in text:
        raise errors.UserError(f"{text}: expected a local path, got a URL; choose a local file or folder")
    return pathlib.Path(expand(text))
