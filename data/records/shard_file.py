"""One ArrayRecord file: written, measured, and, where it lies behind a URL, fetched.

ArrayRecord reads local files alone. A shard behind a URL is therefore copied whole into a local cache when
one of its records is first asked for, under its sha256; reading ranges of it would need a reader of our own.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from array_record.python import array_record_module

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.records import record as record_module

# One record a chunk: random access reads nothing else. Video is compressed already.
_WRITER_OPTIONS = "group_size:1,uncompressed"


class Writer:
    """Writes records into one file; a context manager, after which the file is on the disk.

    Args:
        path: local file; an older one is replaced.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path

    def __enter__(self) -> "Writer":
        with self._system_errors():
            self._writer = array_record_module.ArrayRecordWriter(str(self._path), _WRITER_OPTIONS)
        return self

    def write(self, record: record_module.Record) -> None:
        """Append a record.

        Raises:
            errors.UserError: for a record that `record.check` refuses.
        """
        data = record_module.pack(record)
        with self._system_errors():
            self._writer.write(data)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with contextlib.suppress(RuntimeError):
                self._writer.close()
            return
        with self._system_errors():
            self._writer.close()
            with self._path.open("rb") as written:
                os.fsync(written.fileno())

    @contextlib.contextmanager
    def _system_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # the library tells of the operating system's errors in words alone
            told = str(error).splitlines()[0]
            number = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(error) else errno.EIO
            raise OSError(number, told, str(self._path)) from error


def measure(path: pathlib.Path) -> dict[str, Any]:
    """Return size and sha256 of a shard, as the manifest has them."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: pathlib.Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local(directory: str, shard: Mapping[str, Any], cache: pathlib.Path | None) -> pathlib.Path:
    """Return the local path of a shard, fetching it first where it lies behind a URL.

    Args:
        directory: folder or URL.
        shard: its entry in the manifest.
        cache: local folder for fetched shards; needed for a URL.

    Raises:
        UserError: the shard's bytes are not those of the manifest, or the disk is full.
    """
    path = urls.join(directory, shard["file"])
    if not urls.is_remote(directory):
        return pathlib.Path(path)
    assert cache is not None, "a reader of a URL is given a cache"
    target = cache / "fetched" / f"{shard['sha256']}.array_record"
    if not target.is_file():
        urls.download(path, target)
        if sha256(target) != shard["sha256"]:
            target.unlink()
            raise errors.UserError(f"{path}: wanted the sha256 of the manifest, got another; write it again")
    return target
