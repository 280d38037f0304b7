"""Read and write files by path or URL: `runs/a`, `gs://bucket/run`, `s3://bucket/clip.mp4`.

Local paths use the operating system. Paths with "://" use fsspec; its file system packages (gcsfs, s3fs, ...)
are installed separately (`core/io/buckets.py`). Work directories are local or in a Google bucket, as path
objects with pathlib's interface (`Path`, `parse_path`). Object stores have no locks, no appending and no
touch; the functions here provide replacements. Names of files and listings are in `core/io/file_names.py`.
"""

import contextlib
import os
import pathlib
import posixpath
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import Any, TypeAlias

from etils import epath

from prismlab.core import errors
from prismlab.core.io import buckets, file_errors, in_place, temporary_files, user_paths

Path: TypeAlias = pathlib.Path | epath.Path
PathLike: TypeAlias = str | os.PathLike[str]


def parse_path(text: str) -> Path:
    """Parse a local path, where "~" means the home directory, or a gs:// URL.

    Args:
        text: a path, or gs://bucket/folder.

    Raises:
        UserError: empty text, unsupported URL scheme, missing bucket, glob characters, or gcsfs is not
            installed.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        return pathlib.Path(user_paths.expand(text))
    return buckets.parse(text)


def as_path(path: PathLike) -> Path:
    """Convert a string to a path with `parse_path`; return path objects unchanged."""
    return path if isinstance(path, pathlib.Path | epath.Path) else parse_path(os.fspath(path))


def absolute(path: Path) -> Path:
    """Return the absolute path."""
    return path if isinstance(path, epath.Path) else path.absolute()


def is_remote(path: PathLike) -> bool:
    """Return True if a path is a URL, such as gs://bucket/folder or memory://folder."""
    return "://" in os.fspath(path)


def check_reachable(path: Path) -> Path:
    """Check that the bucket of a path is accessible, and return the path.

    Raises:
        UserError: the bucket does not exist, or its objects may not be listed.
    """
    if buckets.is_google(path):
        buckets.check_reachable(path)
    return path


def file_type(path: PathLike) -> str | None:
    """Return "file", "folder" or None for the type of a path; pipes and devices give None."""
    if not is_remote(path):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            return None
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else None
    system, inner = buckets.connect(path)
    with file_errors.translate_errors(path):
        return "file" if system.isfile(inner) else "folder" if system.isdir(inner) else None


def size_and_version(path: PathLike) -> tuple[int, Any]:
    """Return size in bytes and modification time (or etag) of a file, to detect changes.

    Raises:
        UserError: the file does not exist.
    """
    with file_errors.missing_as_user_error(path):
        if not is_remote(path):
            status = os.stat(path)
            return status.st_size, status.st_mtime_ns
        system, inner = buckets.connect(path)
        info = system.info(inner)
        versions = (str(info[key]) for key in ("etag", "ETag", "mtime", "created") if key in info)
        return int(info["size"]), next(versions, "")


def open_binary(path: PathLike) -> Any:
    """Open a file for reading bytes.

    Raises:
        UserError: the file does not exist.
    """
    with file_errors.missing_as_user_error(path):
        if not is_remote(path):
            return open(path, "rb")
        system, inner = buckets.connect(path)
        return system.open(inner, "rb")


def read(path: PathLike, limit: int | None = None) -> bytes:
    """Return the whole content of a file.

    Args:
        path: path or URL.
        limit: maximum size in bytes, for files of unknown origin.

    Raises:
        UserError: the file does not exist or is too large.
    """
    with file_errors.missing_as_user_error(path):
        data = _content(path, limit)
    if limit is not None and len(data) > limit:
        raise errors.UserError(
            f"{os.fspath(path)}: expected at most {limit} bytes, got more; split it into smaller files"
        )
    return data


def read_if_exists(path: PathLike, limit: int | None = None) -> bytes:
    """Return the content of a file, or b"" if it does not exist.

    Args:
        path: path or URL.
        limit: read at most one byte more than this, so that the caller sees a larger file.

    Raises:
        UserError: the file cannot be read or the bucket request fails.
    """
    with file_errors.translate_errors(path):
        try:
            return _content(path, limit)
        except (FileNotFoundError, NotADirectoryError):
            return b""


def _content(path: PathLike, limit: int | None = None) -> bytes:
    """Return the content of a file, up to one byte more than a limit."""
    most = -1 if limit is None else limit + 1
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read(most)
    system, inner = buckets.connect(path)
    if limit is None:
        whole: bytes = system.cat_file(inner)  # in one request
        return whole
    with system.open(inner, "rb") as file:
        start: bytes = file.read(most)
    return start


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary local file; when the block ends, it replaces the file at a path or URL atomically.

    If the block fails, or deletes the temporary file, the file at the path is left unchanged.

    Args:
        path: the final path; its folder is created if missing.

    Raises:
        UserError: the disk is full, the folder cannot be written or the bucket request fails.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="prismlab-") as folder:
            temporary = pathlib.Path(folder) / posixpath.basename(os.fspath(path))
            with file_errors.full_disk(folder):
                yield temporary
            if temporary.exists():
                upload(temporary, path)
        return
    with temporary_files.replacing(pathlib.Path(path)) as temporary:
        yield temporary


def _make_parent(system: Any, inner: str) -> None:
    if "gs" not in system.protocol:  # a Google bucket has no folders
        system.makedirs(posixpath.dirname(inner), exist_ok=True)


def write_atomic(path: PathLike, data: bytes) -> None:
    """Write a file atomically; bucket objects are written directly, since that is atomic.

    Args:
        path: the file; its folder is created if missing.
        data: the whole content.

    Raises:
        UserError: the disk is full or the bucket request fails; an existing file is left unchanged.
    """
    if is_remote(path):
        system, inner = buckets.connect(path)
        with file_errors.translate_errors(path):
            _make_parent(system, inner)
            system.pipe_file(inner, data)
        return
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def append(path: PathLike, data: bytes) -> None:
    """Append to a file and fsync it; in a bucket, rewrite the whole object.

    Args:
        path: the file; it and its folder are created if missing.
        data: bytes to append; there must be no concurrent writers.

    Raises:
        UserError: the path is a link, the disk is full or the bucket request fails.
    """
    if is_remote(path):
        write_atomic(path, read_if_exists(path) + data)
        return
    with file_errors.translate_errors(path):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(in_place.open_in_place(path), "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def download(path: PathLike, target: pathlib.Path) -> None:
    """Copy a remote file to a local path atomically.

    Args:
        path: path or URL.
        target: local file; its folder is created if missing.

    Raises:
        UserError: the file does not exist, or reading or writing failed.
    """
    system, inner = buckets.connect(path)
    with atomic_file(target) as temporary, file_errors.missing_as_user_error(path):
        system.get_file(inner, str(temporary))


def download_if_exists(path: PathLike, target: pathlib.Path) -> None:
    """Copy a remote file to a local path in pieces; without it the target is not made.

    Args:
        path: URL.
        target: local file in an existing private folder.

    Raises:
        UserError: the bucket request fails or the disk is full.
    """
    system, inner = buckets.connect(path)
    with file_errors.translate_errors(path), contextlib.suppress(FileNotFoundError):
        system.get_file(inner, str(target))


def upload(source: pathlib.Path, path: PathLike) -> None:
    """Copy a local file to a URL atomically, in pieces.

    Args:
        source: local file.
        path: URL.

    Raises:
        UserError: the bucket request fails; an existing file is left unchanged.
    """
    system, inner = buckets.connect(path)
    with file_errors.translate_errors(path):
        _make_parent(system, inner)
        system.put_file(str(source), inner)


@contextlib.contextmanager
def local_copy(path: PathLike) -> Iterator[str]:
    """Yield a local path to a file; a remote file is downloaded to a temporary folder."""
    if not is_remote(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory(prefix="prismlab-") as folder:
        target = pathlib.Path(folder) / posixpath.basename(os.fspath(path))
        download(path, target)
        yield str(target)
