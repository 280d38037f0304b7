"""Where clips come from: a rendered world, or a folder of the user's own videos.

A new source is one frozen dataclass with `open(cache) -> Sequence[Record]`; the contract tests find
it by walking this module. Its repr is its identity, so every field must be a plain value.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.records import record, shards
from prismlab.data.video import folder
from prismlab.data.world import render, world

FORMAT = 3  # raise it when what a source writes into the cache changes


class Source(Protocol):
    """A named set of clips; opening it may first write shards into the cache."""

    def open(self, cache: pathlib.Path) -> Sequence[record.Record]:
        """Return the records, each read when it is asked for."""
        ...


def fingerprint(value: Any) -> str:
    """Return 16 hex digits that stand for a frozen dataclass: the sha256 of its repr and the format."""
    return hashlib.sha256(f"{FORMAT} {value!r}".encode()).hexdigest()[:16]


def contents(records: Sequence[record.Record]) -> str:
    """Return a text that stands for what records hold: the sums of their shards, or all but the videos."""
    if isinstance(records, shards.ShardReader):
        return repr([shard["sha256"] for shard in records.manifest["shards"]])
    return repr([dataclasses.replace(records[index], video=b"") for index in range(len(records))])


@contextlib.contextmanager
def _alone(packed: pathlib.Path) -> Iterator[None]:
    """Let one process at a time write into the cache what several may want; the others wait."""
    packed.parent.mkdir(parents=True, exist_ok=True)
    with open(packed.with_name(f".{packed.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A rendered world, encoded as MP4 files and packed into shards on first use.

    Args:
        world: what is rendered.
        records_per_shard: clips in one shard file.
        workers: processes that render.
    """

    world: world.World
    records_per_shard: int = 2000
    workers: int = 2

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records, rendering and packing them first when the cache lacks them.

        Args:
            cache: directory shared by runs; `world-*` holds the MP4 files, `shards-*` the shards.
        """
        packed = self._shards(cache)
        with _alone(packed):
            if not shards.finished(packed):
                self.render(cache)
                shards.write_shards(folder.read_folder(self._videos(cache)), packed, self.records_per_shard)
        return shards.ShardReader(packed)

    def packed(self, cache: pathlib.Path) -> bool:
        """Tell whether the shards are in the cache already."""
        return shards.finished(self._shards(cache))

    def render(self, cache: pathlib.Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Write the MP4 files that the cache lacks.

        Args:
            cache: directory shared by runs.
            progress: told (files done, files in all) now and then.
        """
        with _alone(self._videos(cache)):
            render.render(self.world, self._videos(cache), workers=self.workers, progress=progress)

    def _videos(self, cache: pathlib.Path) -> pathlib.Path:
        return cache / f"world-{fingerprint(self.world)}"

    def _shards(self, cache: pathlib.Path) -> pathlib.Path:
        return cache / f"shards-{fingerprint((self.world, self.records_per_shard))}"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of videos with `captions.jsonl` (path, caption, perhaps start and end in seconds).

    Every clip is checked before training: it exists, decodes, is long enough, has a caption.

    Args:
        path: the folder.
        min_frames: shortest clip that is accepted.
        records_per_shard: clips in one shard file.
    """

    path: str
    min_frames: int = 1
    records_per_shard: int = 2000

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records, checking and packing them first when the cache lacks them.

        Args:
            cache: directory shared by runs.

        Raises:
            UserError: every fault of the folder, one line each.
        """
        directory = pathlib.Path(self.path).expanduser()
        if not (directory / "captions.jsonl").is_file():
            raise errors.UserError(
                f"source.Folder.path: {directory} has no captions.jsonl; see `prismlab world`"
            )
        # Sizes and times stand for the contents: a changed file is checked and packed again.
        listing = sorted((str(p.relative_to(directory)), p.stat().st_size, p.stat().st_mtime_ns)
                         for p in directory.rglob("*") if p.is_file())  # fmt: skip
        packed = cache / f"shards-{fingerprint((self.min_frames, self.records_per_shard, listing))}"
        with _alone(packed):
            if not shards.finished(packed):
                found = folder.read_folder(directory, min_frames=self.min_frames)
                shards.write_shards(found, packed, self.records_per_shard)
        return shards.ShardReader(packed)


@dataclasses.dataclass(frozen=True)
class Shards:
    """A directory of finished shards with its manifest, local or behind a URL.

    Args:
        path: the directory, such as "corpora/clean" or "gs://bucket/clean"; shards behind a URL are copied
            whole into the cache when first read.
    """

    path: str

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records; the cache is used for shards behind a URL alone.

        Raises:
            UserError: no manifest, or a shard that is missing, empty or truncated.
        """
        path = self.path if urls.is_remote(self.path) else pathlib.Path(self.path).expanduser()
        return shards.ShardReader(path, cache)
