"""Expand command-line arguments (files, folders, glob patterns) to a list of video files."""

import glob
import os
import pathlib
from collections.abc import Sequence

from prismlab.core.io import user_paths

# File name extensions of videos, for folders and for corpus preparation.
SUFFIXES = (
    *(
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".f4v",
        ".flv",
        ".gif",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mkv",
        ".mov",
    ),
    *(".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"),
    ".y4m",
)


def find(words: Sequence[str]) -> tuple[list[pathlib.Path], list[tuple[str, str]]]:
    """Expand files, folders and glob patterns to video files, without duplicates.

    Args:
        words: each is a file with any suffix; a folder, which is searched recursively for files with a suffix
            in SUFFIXES; or a glob pattern with *, ? or [...], where ** matches nested folders.

    Returns:
        The files, in the order of the arguments and sorted within each; and (argument, reason) for every
        argument that matches no files.
    """
    files: dict[str, pathlib.Path] = {}
    nothing = []
    for word in words:
        found, reason = _meant(word)
        if reason:
            nothing.append((word, reason))
        for path in found:
            # A file that is matched twice is listed once, under its first name.
            files.setdefault(os.path.realpath(path), path)
    return list(files.values()), nothing


def _meant(word: str) -> tuple[list[pathlib.Path], str]:
    try:
        return _found(word)
    except (OSError, ValueError) as error:  # a name that no file can have: too long, or with a zero byte
        return [], f"not the name of a file ({getattr(error, 'strerror', None) or error})"


def _found(word: str) -> tuple[list[pathlib.Path], str]:
    path = pathlib.Path(user_paths.expand(word))
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        return inside, "" if inside else f"the folder contains no video ({' '.join(SUFFIXES)})"
    if path.exists():
        return [path], ""
    if glob.has_magic(word):
        matched = sorted(pathlib.Path(name) for name in glob.glob(str(path), recursive=True))
        files = [match for match in matched if match.is_file()]
        return files, "" if files else "the pattern matches no file"
    return [], "no such file or folder"
