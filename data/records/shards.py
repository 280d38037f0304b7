"""A data set on disk: ArrayRecord shards and the manifest that vouches for them.

The manifest is written last, and renamed into place, so a directory with a manifest is a finished one.
"""

import bisect
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from array_record.python import array_record_module

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.records import record as record_module
from prismlab.data.records import shard_file

MANIFEST = "manifest.json"
_MOST_MANIFEST_BYTES = 1 << 30
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


def write_shards(
    records: Iterable[record_module.Record],
    directory: str | os.PathLike[str],
    records_per_shard: int = 1000,
    *,
    source: str = "",
) -> int:
    """Write records in their order into shards, then the manifest.

    Equal records give equal shards. After an interruption there is no manifest, and writing again replaces
    what was left.

    Args:
        records: what to write; read once, one at a time.
        directory: made if absent; must not hold a finished data set.
        records_per_shard: records of every shard but the last, 1 or more.
        source: one line on where the records come from, kept in the manifest.

    Returns:
        The number of records written.

    Raises:
        errors.UserError: for a finished directory, no records, or a record that `record.check` refuses.
    """
    directory = pathlib.Path(directory)
    if records_per_shard < 1:
        raise errors.UserError(f"wanted records_per_shard of 1 or more, got {records_per_shard}")
    if finished(directory):
        raise errors.UserError(
            f"{directory}: wanted a directory without shards, found a finished {MANIFEST}; "
            "choose another directory or delete this one"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob("shard-*"):
        left.unlink()
    shards = [
        _write_shard(directory, number, group)
        for number, group in enumerate(_groups(records, records_per_shard))
    ]
    count = sum(shard["records"] for shard in shards)
    if not count:
        raise errors.UserError(
            f"{directory}: wanted at least one record to write, got none; check the source"
        )
    manifest = {
        "schema_version": record_module.SCHEMA_VERSION,
        "finished": True,
        "records": count,
        "source": source,
        "shards": shards,
    }
    unfinished = directory / (MANIFEST + ".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2, sort_keys=True)
        _flush(file)
    os.replace(unfinished, directory / MANIFEST)
    return count


def finished(directory: str | os.PathLike[str]) -> bool:
    """Return whether `write_shards` has completed in a directory (its manifest is written last)."""
    return urls.what(urls.join(os.fspath(directory), MANIFEST)) == "file"


class ShardReader:
    """Random access to the records of a finished directory; threads and processes may share it.

    It pickles as its path and manifest; files are opened when first read, anew in each process.
    """

    def __init__(self, directory: str | os.PathLike[str], cache: str | os.PathLike[str] | None = None):
        """Read the manifest and compare every shard's size with it.

        Args:
            directory: what `write_shards` or `prismlab data prepare` filled; a URL too.
            cache: local folder for the shards of a URL; each is fetched when first read.

        Raises:
            errors.UserError: for a missing or wrong manifest, another schema version, or a missing, empty or
                cut shard; every fault is listed.
        """
        self.directory = os.fspath(directory)
        self.cache = None if cache is None else pathlib.Path(cache)
        self.manifest = _read_manifest(self.directory)
        self._starts = [0]
        for shard in self.manifest["shards"]:
            self._starts.append(self._starts[-1] + shard["records"])
        _check_sizes(self.directory, self.manifest)
        self._open: dict[tuple[int, int], array_record_module.ArrayRecordReader] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> record_module.Record:
        """Read one record.

        Args:
            index: from 0 to len - 1.

        Returns:
            The record, its checksum verified.

        Raises:
            IndexError: outside the range.
            errors.UserError: naming the shard and the record, where its bytes are damaged.
        """
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} in {self.directory}")
        shard = bisect.bisect_right(self._starts, index) - 1
        file, position = self.manifest["shards"][shard]["file"], index - self._starts[shard]
        name = f"{urls.join(self.directory, file)}, record {position}"
        try:
            (data,) = self._reader(shard).read([position])
        except (RuntimeError, ValueError, IndexError) as error:
            # The library's message may end in a stack trace of its own: the first line says it.
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise errors.UserError(f"{name}: wanted a sound record, got '{reason}'; {_REMEDY}") from error
        return record_module.unpack(data, name)

    def verify(self) -> None:
        """Read every byte and compare each shard with the manifest's sha256.

        Raises:
            errors.UserError: listing the shards that have changed.
        """
        faults = []
        for shard in self.manifest["shards"]:
            path = urls.join(self.directory, shard["file"])
            with urls.local(path) as local:
                same = shard_file.sha256(pathlib.Path(local)) == shard["sha256"]
            if not same:
                faults.append(f"{path}: wanted the sha256 of {MANIFEST}, got another; {_REMEDY}")
        if faults:
            raise errors.UserError("\n".join(faults))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open={})

    def _reader(self, shard: int) -> array_record_module.ArrayRecordReader:
        # A forked child must not share its parent's open files, hence the process in the key. Two threads
        # may both open a shard; one of the readers is then dropped.
        key = os.getpid(), shard
        if key not in self._open:
            path = shard_file.local(self.directory, self.manifest["shards"][shard], self.cache)
            self._open.setdefault(key, array_record_module.ArrayRecordReader(str(path), _READER_OPTIONS))
        return self._open[key]


_REMEDY = "copy the directory again, or write its shards again"


def _groups(records: Iterable[record_module.Record], size: int) -> Iterator[Iterator[record_module.Record]]:
    """Yield runs of up to `size` records without holding one in memory; each run is read before the next."""
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
) -> dict[str, Any]:
    file = f"shard-{number:05d}.array_record"
    path, unfinished = directory / file, directory / (file + ".tmp")
    count = 0
    with shard_file.Writer(unfinished) as writer:
        for record in records:
            writer.write(record)
            count += 1
    os.replace(unfinished, path)
    return {"file": file, "records": count, **shard_file.measure(path)}


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_manifest(directory: str) -> dict[str, Any]:
    path = urls.join(directory, MANIFEST)
    if urls.what(path) != "file":
        raise errors.UserError(
            f"{path}: wanted the manifest of finished shards, found none; "
            "correct the path, or write the shards again if writing was interrupted"
        )
    try:
        manifest = json.loads(urls.read(path, _MOST_MANIFEST_BYTES))
        version, finished = manifest["schema_version"], manifest["finished"]
        sound = finished is True and manifest["records"] == sum(
            shard["records"] for shard in manifest["shards"]
        )
        names = [shard["file"] for shard in manifest["shards"]]
        sizes = [shard["bytes"] + shard["records"] for shard in manifest["shards"]]
        sound &= all(pathlib.PurePath(name).name == name for name in names)
        sound &= all(isinstance(size, int) and size > 0 for size in sizes)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{path}: wanted a manifest, got an unreadable one ({error!r}); {_REMEDY}"
        ) from error
    if version not in record_module.READABLE:
        raise errors.UserError(
            f"{path}: wanted schema version {record_module.SCHEMA_VERSION}, got {version}; "
            "write the shards again with this version of the code (`prismlab data prepare`)"
        )
    if not sound:
        raise errors.UserError(
            f"{path}: wanted a finished manifest whose counts agree, got another; {_REMEDY}"
        )
    return manifest


def _check_sizes(directory: str, manifest: dict[str, Any]) -> None:
    faults = []
    for shard in manifest["shards"]:
        path = urls.join(directory, shard["file"])
        if urls.what(path) != "file":
            faults.append(f"{path}: wanted a shard of {shard['bytes']} bytes, found none; {_REMEDY}")
        elif (size := urls.state(path)[0]) != shard["bytes"]:
            faults.append(f"{path}: wanted {shard['bytes']} bytes, got {size}; {_REMEDY}")
    if faults:
        raise errors.UserError("\n".join(faults))
