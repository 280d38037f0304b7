"""Which video files a list of words means: files, folders, patterns."""

import glob
import os
import pathlib
from collections.abc import Sequence

SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
)


def find(words: Sequence[str]) -> tuple[list[pathlib.Path], list[tuple[str, str]]]:
    """Turn words into video files, each once.

    Args:
        words: a file of any name; a folder, in which every file with a suffix of SUFFIXES is meant, in
            folders below as well; or a pattern with *, ? or [...], where ** goes through folders.

    Returns:
        The files, in the order of the words and sorted within each; and (word, reason) for every word that
        gives nothing.
    """
    files: dict[str, pathlib.Path] = {}
    nothing = []
    for word in words:
        found, reason = _meant(word)
        if reason:
            nothing.append((word, reason))
        for path in found:
            # One file passed in two ways is one file; it keeps the name by which it came first.
            files.setdefault(os.path.realpath(path), path)
    return list(files.values()), nothing


def _meant(word: str) -> tuple[list[pathlib.Path], str]:
    path = pathlib.Path(word).expanduser()
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        return inside, "" if inside else f"the folder holds no video ({' '.join(SUFFIXES)})"
    if path.exists():
        return [path], ""
    if glob.has_magic(word):
        matched = sorted(pathlib.Path(name) for name in glob.glob(str(path), recursive=True))
        files = [match for match in matched if match.is_file()]
        return files, "" if files else "the pattern matches no file"
    return [], "there is no such file or folder"
