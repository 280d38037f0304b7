"""Names of files below a folder or URL: joining, checking untrusted names, listing, glob patterns."""

import os
import pathlib
import posixpath
from collections.abc import Iterator

from prismlab.core import errors
from prismlab.core.io import buckets, file_errors, filesystem


def join(root: str, name: str) -> str:
    """Join a folder and a trusted relative name; for untrusted names see `inside`."""
    return posixpath.join(root, name)


def readable(name: str) -> str:
    r"""Return a file name as text that UTF-8 can hold; other bytes become escapes such as \xff."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def inside(root: str, name: str, where: str) -> str:
    """Join a folder and an untrusted name; the file it leads to must be below the folder.

    Every file that an input of corpus preparation opens passes here. A link may lead to another file below
    the folder, or from a snapshot in a Hugging Face hub cache to the blobs of that cache.

    Args:
        root: folder or URL.
        name: path below the root, from a table, an archive or a listing; absolute paths must lead there too.
        where: origin of the name, for the error message.

    Raises:
        UserError: a path or link that leads out of the root, "..", a NUL or a backslash.
    """
    path = join(root, name)
    escapes = not name or "\0" in name or "\\" in name or ".." in name.split("/")
    if filesystem.is_remote(root):
        own = root.rstrip("/") + "/"
        escapes = escapes or (
            (filesystem.is_remote(name) or posixpath.isabs(name)) and not name.startswith(own)
        )
        path = name if name.startswith(own) else path
    elif not escapes:
        folder, target = pathlib.Path(root).resolve(), pathlib.Path(path).resolve()
        escapes = filesystem.is_remote(name) or not any(map(target.is_relative_to, (folder, *_blobs(folder))))
    if escapes:
        raise errors.UserError(
            f"{where}: expected a path below {root}, got {name[:200]!r}; move the file there or correct the "
            "path"
        )
    return path


def _blobs(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return where links of a hub cache lead: from `repository/snapshots` to `repository/blobs`."""
    above = [each.parent / "blobs" for each in (folder, *folder.parents) if each.name == "snapshots"]
    return [blobs for blobs in above[:1] if blobs.is_dir()]


def walk(root: str, below: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield (folder, sorted names of its files) for a folder and, after it, each of its subfolders.

    Links to folders are not followed; hidden files (starting with a dot) are skipped.

    Args:
        root: folder or URL.
        below: folder inside the root (used by the recursion).

    Raises:
        UserError: the folder does not exist.
    """
    inner, files = _entries(join(root, below) if below else root)
    yield below, files
    for name in inner:
        yield from walk(root, join(below, name) if below else name)


def list_files(root: str, below: str = "") -> Iterator[str]:
    """Yield the names of all files below a folder, sorted per folder; holds one folder's names in memory.

    Links to folders are not followed; hidden files (starting with a dot) are skipped.

    Args:
        root: folder or URL.
        below: folder inside the root (used by the recursion).

    Raises:
        UserError: the folder does not exist.
    """
    inner, files = _entries(join(root, below) if below else root)
    for name, is_folder in sorted([*((each, True) for each in inner), *((each, False) for each in files)]):
        relative = join(below, name) if below else name
        if is_folder:
            yield from list_files(root, relative)
        else:
            yield relative


def _entries(path: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, sorted."""
    if filesystem.file_type(path) != "folder":
        raise errors.UserError(f"{path}: expected a folder, found none; correct the path")
    with file_errors.translate_errors(path):
        if filesystem.is_remote(path):
            system, inner = buckets.connect(path)
            entries = [(posixpath.basename(e["name"].rstrip("/")), e["type"] == "directory")
                       for e in system.ls(inner, detail=True)]  # fmt: skip
        else:
            with os.scandir(path) as found:
                entries = [
                    (e.name, e.is_dir(follow_symlinks=False)) for e in found if e.is_file() or e.is_dir()
                ]
    entries = sorted(entry for entry in entries if not entry[0].startswith("."))
    return [name for name, inner in entries if inner], [name for name, inner in entries if not inner]


def glob(pattern: str) -> list[str]:
    """Return the sorted paths of the files that match a pattern such as gs://bucket/tars/*.tar."""
    system, inner = buckets.connect(pattern)
    with file_errors.translate_errors(pattern):
        found = sorted(str(each) for each in system.glob(inner))
    return [system.unstrip_protocol(each) for each in found] if filesystem.is_remote(pattern) else found
