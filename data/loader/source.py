"""Training data sources: rendered synthetic world, folder of videos, or prepared shards.

To add a source, write a frozen dataclass with `open(cache) -> Sequence[Record]`; the contract tests find it
in this module. Its repr is its identity in the cache, so every field must be a plain value.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.records import record, shards
from prismlab.data.video import folder
from prismlab.data.world import render, world

FORMAT = 3  # increment when the files that a source writes into the cache change


@runtime_checkable
class Source(Protocol):
    """Protocol of training data sources; opening one may first write shards into the cache."""

    def open(self, cache: pathlib.Path) -> Sequence[record.Record]:
        """Return the records, read lazily."""
        ...


def fingerprint(value: Any) -> str:
    """Return 16 hex digits that identify a frozen dataclass: sha256 of its repr and FORMAT."""
    return hashlib.sha256(f"{FORMAT} {value!r}".encode()).hexdigest()[:16]


def contents(records: Sequence[record.Record]) -> str:
    """Return a string that identifies the contents: shard checksums, or all fields but the videos."""
    if isinstance(records, shards.ShardReader):
        return repr([shard["sha256"] for shard in records.manifest["shards"]])
    return repr([dataclasses.replace(records[index], video=b"") for index in range(len(records))])


@contextlib.contextmanager
def _alone(packed: pathlib.Path) -> Iterator[None]:
    """Lock a cache entry while one process writes it; other processes wait."""
    packed.parent.mkdir(parents=True, exist_ok=True)
    with open(packed.with_name(f".{packed.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Synthetic rendered world, encoded as MP4 files and packed into shards on first use.

    Args:
        world: the world to render.
        records_per_shard: clips per shard file.
        workers: number of rendering processes.
    """

    world: world.World
    records_per_shard: int = 2000
    workers: int = 2

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records; renders and packs them first if they are not in the cache.

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
        """Return True if the shards are in the cache."""
        return shards.finished(self._shards(cache))

    def render(self, cache: pathlib.Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Render the MP4 files that are missing from the cache.

        Args:
            cache: directory shared by runs.
            progress: called as progress(files done, total files) from time to time.
        """
        with _alone(self._videos(cache)):
            render.render(self.world, self._videos(cache), workers=self.workers, progress=progress)

    def _videos(self, cache: pathlib.Path) -> pathlib.Path:
        return cache / f"world-{fingerprint(self.world)}"

    def _shards(self, cache: pathlib.Path) -> pathlib.Path:
        return cache / f"shards-{fingerprint((self.world, self.records_per_shard))}"


@dataclasses.dataclass(frozen=True)
class Folder:
    """Folder of videos with a `captions.jsonl` (path, caption, optional start and end in seconds).

    Before training, every clip is checked: it exists, decodes, is long enough and has a caption.

    Args:
        path: the folder.
        min_frames: minimum number of frames per clip.
        records_per_shard: clips per shard file.
    """

    path: str
    min_frames: int = 1
    records_per_shard: int = 2000

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records; checks and packs them first if they are not in the cache.

        Args:
            cache: directory shared by runs.

        Raises:
            UserError: lists every error in the folder, one per line.
        """
        directory = pathlib.Path(self.path).expanduser()
        if not (directory / "captions.jsonl").is_file():
            raise errors.UserError(
                f"source.Folder.path: {directory} has no captions.jsonl; see `prismlab world`"
            )
        # File sizes and modification times identify the contents; a changed file is packed again.
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
    """Directory or URL of finished shards with a manifest.

    Args:
        path: the directory, such as "corpora/clean" or "gs://bucket/clean"; remote shards are copied to the
            cache when first read.
    """

    path: str

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records; the cache is used only for remote shards.

        Raises:
            UserError: the manifest is missing, or a shard is missing, empty or truncated.
        """
        path = self.path if urls.is_remote(self.path) else pathlib.Path(self.path).expanduser()
        return shards.ShardReader(path, cache)
