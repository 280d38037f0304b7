"""Files by path or by URL: `corpora/a.mp4` and `gs://bucket/a.mp4` are read and written by the same calls.

Paths without "://" go to the operating system; every other one to fsspec, whose file system packages (gcsfs,
s3fs, ...) are installed by whoever needs them.
"""

import contextlib
import os
import pathlib
import posixpath
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import fsspec

from prismlab.core import errors
from prismlab.core.io import atomic


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL, such as gs://bucket/folder or memory://folder."""
    return "://" in path


def join(root: str, name: str) -> str:
    """Return the path of a name below a folder; the name is trusted (see `inside`)."""
    return posixpath.join(root, name)


def inside(root: str, name: str, where: str) -> str:
    """Return the path of a name that a user's file gives, if it stays below the root.

    Args:
        root: folder or URL.
        name: relative path, as a table or an archive has it.
        where: what gave the name, for the message.

    Raises:
        UserError: an absolute name, "..", a NUL, or a link that leads out of the root.
    """
    path = join(root, name)
    escapes = not name or "\0" in name or "\\" in name or posixpath.isabs(name) or is_remote(name)
    escapes = escapes or ".." in name.split("/")
    if not escapes and not is_remote(root):
        escapes = not pathlib.Path(path).resolve().is_relative_to(pathlib.Path(root).resolve())
    if escapes:
        raise errors.UserError(
            f"{where}: wanted a path below {root}, got {name!r}; move the file there or correct the path"
        )
    return path


def _connect(path: str) -> tuple[Any, str]:
    try:
        return fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise errors.UserError(
            f"{path}: wanted a file system that fsspec knows, got '{error}'; install it or mend the URL"
        ) from error


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn what a file system says into one line; a full disk has its own."""
    try:
        yield
    except errors.UserError:
        raise
    except FileNotFoundError as error:
        raise errors.UserError(f"{path}: wanted a file, found none; correct the path") from error
    except OSError as error:
        full = atomic.disk_error(pathlib.Path(path), error)
        if isinstance(full, errors.UserError):
            raise full from error
        raise errors.UserError(f"{path}: could not be read or written: {error.strerror or error}") from error


def what(path: str) -> str | None:
    """Return "file", "folder" or None for what stands at a path; pipes and devices are none."""
    if not is_remote(path):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            return None
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else None
    system, inner = _connect(path)
    with _told(path):
        return "file" if system.isfile(inner) else "folder" if system.isdir(inner) else None


def state(path: str) -> tuple[int, Any]:
    """Return size in bytes and time of change of a file; it stays equal while nobody writes to it.

    Raises:
        UserError: there is no such file.
    """
    with _told(path):
        if not is_remote(path):
            found = os.stat(path)
            return found.st_size, found.st_mtime_ns
        system, inner = _connect(path)
        told = system.info(inner)
        return int(told["size"]), next(
            (str(told[k]) for k in ("etag", "ETag", "mtime", "created") if k in told), ""
        )


def open_binary(path: str) -> Any:
    """Open a file for reading bytes.

    Raises:
        UserError: there is no such file.
    """
    with _told(path):
        if not is_remote(path):
            return open(path, "rb")
        system, inner = _connect(path)
        return system.open(inner, "rb")


def read(path: str, most: int) -> bytes:
    """Return the whole content of a file.

    Args:
        path: path or URL.
        most: bytes that it may have.

    Raises:
        UserError: no such file, or a larger one.
    """
    with open_binary(path) as file, _told(path):
        data = file.read(most + 1)
    if len(data) > most:
        raise errors.UserError(f"{path}: wanted at most {most} bytes, got more; cut it into smaller files")
    return data


def write(path: str, data: bytes) -> None:
    """Write a file whole or not at all (an object store does so by itself)."""
    if not is_remote(path):
        atomic.write_atomic(path, data)
        return
    system, inner = _connect(path)
    with _told(path):
        system.makedirs(posixpath.dirname(inner), exist_ok=True)
        system.pipe_file(inner, data)


def upload(source: pathlib.Path, path: str) -> None:
    """Move a finished local file to a path or URL; it appears there whole or not at all."""
    with _told(path):
        if not is_remote(path):
            os.replace(source, path)
            return
        system, inner = _connect(path)
        system.makedirs(posixpath.dirname(inner), exist_ok=True)
        system.put_file(str(source), inner)
    source.unlink()


def download(path: str, target: pathlib.Path) -> None:
    """Copy a remote file to a local path, where it appears whole or not at all.

    Args:
        path: path or URL.
        target: local file; its folder is made when missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    system, inner = _connect(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder, _told(path):
        system.get_file(inner, str(pathlib.Path(folder) / "file"))
        os.replace(pathlib.Path(folder) / "file", target)


@contextlib.contextmanager
def local(path: str) -> Iterator[str]:
    """Yield a local path with a file's content, fetching a remote one into a temporary place."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="prismlab-") as folder:
        target = pathlib.Path(folder) / posixpath.basename(path)
        download(path, target)
        yield str(target)


def listing(root: str, below: str = "") -> Iterator[str]:
    """Yield the names of all files below a folder, sorted folder by folder; one folder's names are in memory.

    Links to folders are not followed, hidden files (starting with a dot) are left out.

    Args:
        root: folder or URL.
        below: folder inside the root, for the recursion.

    Raises:
        UserError: there is no such folder.
    """
    place = join(root, below) if below else root
    if what(place) != "folder":
        raise errors.UserError(f"{place}: wanted a folder, found none; correct the path")
    with _told(place):
        if is_remote(place):
            system, inner = _connect(place)
            entries = [(posixpath.basename(e["name"].rstrip("/")), e["type"] == "directory")
                       for e in system.ls(inner, detail=True)]  # fmt: skip
        else:
            with os.scandir(place) as found:
                entries = [
                    (e.name, e.is_dir(follow_symlinks=False)) for e in found if e.is_file() or e.is_dir()
                ]
    for name, is_folder in sorted(entries):
        if name.startswith("."):
            continue
        relative = join(below, name) if below else name
        if is_folder:
            yield from listing(root, relative)
        else:
            yield relative


def glob(pattern: str) -> list[str]:
    """Return the sorted paths of the files that match a pattern such as gs://bucket/tars/*.tar."""
    system, inner = _connect(pattern)
    with _told(pattern):
        found = sorted(str(each) for each in system.glob(inner))
    return [system.unstrip_protocol(each) for each in found] if is_remote(pattern) else found
