"""Write, checksum and download a single ArrayRecord shard file.

ArrayRecord can read local files only. A remote shard is therefore downloaded as a whole into a local cache
(keyed by sha256) when one of its records is first read; byte-range reads would need a custom reader.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from array_record.python import array_record_module

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem
from prismlab.data.records import manifest
from prismlab.data.records import record as record_module

# One record per chunk, so that random access reads no other records. Video is already compressed.
_WRITER_OPTIONS = "group_size:1,uncompressed"


class Writer:
    """Context manager that writes records to one ArrayRecord file and fsyncs it on exit.

    Args:
        path: local file; an existing file is overwritten.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path

    def __enter__(self) -> "Writer":
        with self._system_errors():
            self._writer = array_record_module.ArrayRecordWriter(in_utf8(self._path), _WRITER_OPTIONS)
        return self

    def write(self, record: record_module.Record) -> None:
        """Append a record.

        Raises:
            errors.UserError: if `record.check` fails.
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
        except RuntimeError as error:  # ArrayRecord reports OS errors as text only
            message = str(error).splitlines()[0]
            number = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(error) else errno.EIO
            raise OSError(number, message, str(self._path)) from error


def in_utf8(path: pathlib.Path) -> str:
    """Return a path as text for ArrayRecord, which takes UTF-8 only.

    Raises:
        errors.UserError: if the path is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise errors.UserError(
            f"{file_names.readable(str(path))}: expected a folder of shards whose path is UTF-8, got other "
            "bytes; rename it or choose another"
        ) from error
    return str(path)


def measure(path: pathlib.Path) -> dict[str, Any]:
    """Return the size and sha256 of a shard file in the format of the manifest."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: pathlib.Path) -> str:
    """Return the sha256 of a file as a hex string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local(directory: str, shard: manifest.Shard, cache: pathlib.Path | None) -> pathlib.Path:
    """Return the local path of a shard, downloading it first if the directory is a URL.

    Args:
        directory: local directory or URL of the shards.
        shard: entry of the shard in the manifest.
        cache: local directory for downloaded shards; required for a URL.

    Raises:
        UserError: if the sha256 differs from the manifest, or the disk is full.
    """
    path = file_names.join(directory, shard.file)
    if not filesystem.is_remote(directory):
        return pathlib.Path(path)
    if cache is None:
        raise errors.UserError(f"{directory}: reading shards from a URL requires a cache directory; give one")
    if not shard.sha256:
        raise errors.UserError(f"{path}: expected its sha256 in the manifest, got none; rebuild the shards")
    target = cache / "fetched" / f"{shard.sha256}.array_record"
    if not target.is_file():
        filesystem.download(path, target)
        if sha256(target) != shard.sha256:
            target.unlink()
            raise errors.UserError(
                f"{path}: expected the sha256 of the manifest, got another; rebuild the shard"
            )
    return target
