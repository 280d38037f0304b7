"""Read and write files by path or URL: `corpora/a.mp4`, `gs://bucket/a.mp4`.

Paths without "://" use the operating system; all others use fsspec, whose file system packages (gcsfs,
s3fs, ...) have to be installed separately.
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
from prismlab.core.io import atomic, filesystem


def is_remote(path: str) -> bool:
    """Return True if a path is a URL, such as gs://bucket/folder or memory://folder."""
    return "://" in path


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
    if is_remote(root):
        own = root.rstrip("/") + "/"
        escapes = escapes or ((is_remote(name) or posixpath.isabs(name)) and not name.startswith(own))
        path = name if name.startswith(own) else path
    elif not escapes:
        folder, target = pathlib.Path(root).resolve(), pathlib.Path(path).resolve()
        escapes = is_remote(name) or not any(map(target.is_relative_to, (folder, *_blobs(folder))))
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


def _connect(path: str) -> tuple[Any, str]:
    if path.startswith(filesystem.PREFIX):
        filesystem.configure_buckets()
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(path)
        return found
    except (ImportError, ValueError) as error:
        raise errors.UserError(
            f"{path}: expected a file system that fsspec supports, got '{error}'; install it or fix the URL"
        ) from error


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Convert file system errors to a one-line UserError."""
    try:
        yield
    except errors.UserError:
        raise
    except FileNotFoundError as error:
        raise errors.UserError(f"{path}: expected a file, found none; correct the path") from error
    except OSError as error:
        full = atomic.disk_error(pathlib.Path(path), error)
        if isinstance(full, errors.UserError):
            raise full from error
        raise errors.UserError(f"{path}: cannot be read or written: {error.strerror or error}") from error


def what(path: str) -> str | None:
    """Return "file", "folder" or None for the type of a path; pipes and devices give None."""
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
    """Return size in bytes and modification time (or etag) of a file, to detect changes.

    Raises:
        UserError: the file does not exist.
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
        UserError: the file does not exist.
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
        most: maximum size in bytes.

    Raises:
        UserError: the file does not exist or is too large.
    """
    with open_binary(path) as file, _told(path):
        data: bytes = file.read(most + 1)
    if len(data) > most:
        raise errors.UserError(
            f"{path}: expected at most {most} bytes, got more; split it into smaller files"
        )
    return data


def write(path: str, data: bytes) -> None:
    """Write a file atomically (object stores do so by themselves)."""
    if not is_remote(path):
        atomic.write_atomic(path, data)
        return
    system, inner = _connect(path)
    with _told(path):
        system.makedirs(posixpath.dirname(inner), exist_ok=True)
        system.pipe_file(inner, data)


def upload(source: pathlib.Path, path: str) -> None:
    """Move a local file to a path or URL atomically."""
    with _told(path):
        if not is_remote(path):
            os.replace(source, path)
            return
        system, inner = _connect(path)
        system.makedirs(posixpath.dirname(inner), exist_ok=True)
        system.put_file(str(source), inner)
    source.unlink()


def download(path: str, target: pathlib.Path) -> None:
    """Download a remote file to a local path atomically.

    Args:
        path: path or URL.
        target: local file; its folder is created if missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    system, inner = _connect(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder, _told(path):
        system.get_file(inner, str(pathlib.Path(folder) / "file"))
        os.replace(pathlib.Path(folder) / "file", target)


@contextlib.contextmanager
def local(path: str) -> Iterator[str]:
    """Yield a local path to a file; a remote file is downloaded to a temporary folder."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="prismlab-") as folder:
        target = pathlib.Path(folder) / posixpath.basename(path)
        download(path, target)
        yield str(target)


def folders(root: str, below: str = "") -> Iterator[tuple[str, list[str]]]:
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
        yield from folders(root, join(below, name) if below else name)


def listing(root: str, below: str = "") -> Iterator[str]:
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
            yield from listing(root, relative)
        else:
            yield relative


def _entries(place: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, sorted."""
    if what(place) != "folder":
        raise errors.UserError(f"{place}: expected a folder, found none; correct the path")
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
    entries = sorted(entry for entry in entries if not entry[0].startswith("."))
    return [name for name, inner in entries if inner], [name for name, inner in entries if not inner]


def glob(pattern: str) -> list[str]:
    """Return the sorted paths of the files that match a pattern such as gs://bucket/tars/*.tar."""
    system, inner = _connect(pattern)
    with _told(pattern):
        found = sorted(str(each) for each in system.glob(inner))
    return [system.unstrip_protocol(each) for each in found] if is_remote(pattern) else found
