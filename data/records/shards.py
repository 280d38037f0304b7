"""Dataset on disk: ArrayRecord shards and a JSON manifest with their sizes and checksums.

The manifest is written last and renamed atomically, so a directory with a manifest is complete.
"""

import bisect
import errno
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from array_record.python import array_record_module

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, temporary_files
from prismlab.data.records import decoded_frames, shard_file
from prismlab.data.records import manifest as manifest_module
from prismlab.data.records import record as record_module

MANIFEST = manifest_module.NAME
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


@runtime_checkable
class Records(Protocol):
    """Protocol of stored clips with random access: a list, or the shards of a dataset."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def __getitem__(self, index: int, /) -> record_module.Record:
        """Return one record."""
        ...


def write_shards(
    records: Iterable[record_module.Record],
    directory: str | os.PathLike[str],
    records_per_shard: int = 1000,
    *,
    source: str = "",
) -> int:
    """Write records in order to ArrayRecord shards, then write the manifest.

    Deterministic: equal records give equal shards. An interrupted write leaves no manifest; the next write
    replaces the partial files.

    Args:
        records: records to write; iterated once, one in memory at a time.
        directory: created if missing; must not contain a finished dataset.
        records_per_shard: number of records in every shard but the last, 1 or more.
        source: one-line description of where the records come from, stored in the manifest.

    Returns:
        The number of records written.

    Raises:
        errors.UserError: if the directory is already finished, there are no records, or a record is invalid.
    """
    directory = pathlib.Path(directory)
    if records_per_shard < 1:
        raise errors.UserError(f"expected records_per_shard of 1 or more, got {records_per_shard}")
    if finished(directory):
        raise errors.UserError(
            f"{directory}: expected a directory without shards, found a finished {MANIFEST}; "
            "choose another directory or delete this one"
        )
    directory.mkdir(parents=True, exist_ok=True)
    temporary_files.remove_unfinished(directory)
    for left in directory.glob("shard-*"):
        left.unlink()
    shards = [
        _write_shard(directory, number, group)
        for number, group in enumerate(_groups(records, records_per_shard))
    ]
    count = sum(shard.records for shard in shards)
    if not count:
        raise errors.UserError(
            f"{directory}: expected at least one record to write, got none; check the source"
        )
    manifest = manifest_module.Manifest(
        record_module.SCHEMA_VERSION, True, count, tuple(shards), source=source
    )
    filesystem.write_atomic(directory / MANIFEST, manifest.encoded())
    return count


def finished(directory: str | os.PathLike[str]) -> bool:
    """Return True if `write_shards` has completed in a directory (the manifest is written last)."""
    return filesystem.file_type(file_names.join(os.fspath(directory), MANIFEST)) == "file"


class ShardReader:
    """Random access to the records of a sharded dataset; safe to share between threads and processes.

    Pickles as path and manifest only. Files are opened lazily, once per process.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        cache: str | os.PathLike[str] | None = None,
        decoded: decoded_frames.DecodedFrames | None = None,
    ):
        """Read the manifest and check the size of every shard.

        Args:
            directory: output of `write_shards` or `prismlab data prepare`; a local directory or URL.
            cache: local directory for the shards of a URL; each shard is downloaded when first read.
            decoded: frames of the records, in their order; None if they are not kept.

        Raises:
            errors.UserError: if the manifest is missing or invalid, the schema version is not supported, or
                shards are missing, empty or truncated; lists every problem. Also if `decoded` has
                another number of clips.
        """
        self.directory = os.fspath(directory)
        self.cache = None if cache is None else pathlib.Path(cache)
        self.manifest = manifest_module.read(self.directory)
        self._starts = [0]
        for shard in self.manifest.shards:
            self._starts.append(self._starts[-1] + shard.records)
        _check_sizes(self.directory, self.manifest)
        self._decoded = decoded
        if decoded is not None and len(decoded) != len(self):
            raise errors.UserError(
                f"{self.directory}: expected decoded frames of {len(self)} clips, got {len(decoded)}; "
                f"{_REMEDY}"
            )
        self._open: dict[tuple[int, int], array_record_module.ArrayRecordReader] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> record_module.Record:
        """Read one record.

        Args:
            index: record index, from 0 to len - 1.

        Returns:
            The record, with its checksum verified.

        Raises:
            IndexError: if the index is out of range.
            errors.UserError: if the bytes are corrupt; names the shard and the record.
        """
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} in {self.directory}")
        shard = bisect.bisect_right(self._starts, index) - 1
        file, position = self.manifest.shards[shard].file, index - self._starts[shard]
        name = f"{file_names.join(self.directory, file)}, record {position}"
        try:
            (data,) = self._reader(shard).read([position])
        except errors.UserError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            # ArrayRecord's message may include a stack trace; only the first line is useful.
            reason = (str(error).splitlines() or ["no reason given"])[0]
            short = any(os.strerror(number) in reason for number in (errno.EAGAIN, errno.ENOMEM))
            remedy = "raise the limit of memory or threads (ulimit -a)" if short else _REMEDY
            raise errors.UserError(f"{name}: expected a readable record, got '{reason}'; {remedy}") from error
        record = record_module.unpack(data, name)
        return record if self._decoded is None else record.keeping(self._decoded[index])

    def verify(self) -> None:
        """Read every shard completely and compare its sha256 with the manifest.

        Raises:
            errors.UserError: if any shard has changed; lists all of them.
        """
        faults = []
        for shard in self.manifest.shards:
            path = file_names.join(self.directory, shard.file)
            with filesystem.local_copy(path) as local:
                same = shard_file.sha256(pathlib.Path(local)) == shard.sha256
            if not same:
                faults.append(f"{path}: expected the sha256 of {MANIFEST}, got a different one; {_REMEDY}")
        if faults:
            raise errors.UserError("\n".join(faults))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open={})

    def _reader(self, shard: int) -> array_record_module.ArrayRecordReader:
        # The process id is part of the key because a forked child must not share open files with its
        # parent. If two threads open the same shard, one of the readers is dropped.
        key = os.getpid(), shard
        if key not in self._open:
            path = shard_file.local(self.directory, self.manifest.shards[shard], self.cache)
            self._open.setdefault(
                key, array_record_module.ArrayRecordReader(shard_file.in_utf8(path), _READER_OPTIONS)
            )
        return self._open[key]


_REMEDY = "copy the directory again, or rebuild its shards"


def _groups(records: Iterable[record_module.Record], size: int) -> Iterator[Iterator[record_module.Record]]:
    """Yield lazy groups of up to `size` records; each group must be consumed before the next."""
    iterator = iter(records)
    for first in iterator:
        yield _group(first, iterator, size)


def _group(
    first: record_module.Record, rest: Iterator[record_module.Record], size: int
) -> Iterator[record_module.Record]:
    yield first
    for _, following in zip(range(size - 1), rest):
        yield following


def _write_shard(
    directory: pathlib.Path, number: int, records: Iterator[record_module.Record]
) -> manifest_module.Shard:
    file = f"shard-{number:05d}.array_record"
    path, count = directory / file, 0
    with filesystem.atomic_file(path) as temporary, shard_file.Writer(temporary) as writer:
        for record in records:
            writer.write(record)
            count += 1
    return manifest_module.Shard(file, count, **shard_file.measure(path))


def _check_sizes(directory: str, manifest: manifest_module.Manifest) -> None:
    faults = []
    for shard in manifest.shards:
        path = file_names.join(directory, shard.file)
        if filesystem.file_type(path) != "file":
            faults.append(f"{path}: expected a shard of {shard.bytes} bytes, found none; {_REMEDY}")
        elif (size := filesystem.size_and_version(path)[0]) != shard.bytes:
            faults.append(f"{path}: expected {shard.bytes} bytes, got {size}; {_REMEDY}")
    if faults:
        raise errors.UserError("\n".join(faults))
