"""Training data sources: rendered synthetic world, folder of videos, or prepared shards.

To add a source, write a frozen dataclass with `open(cache) -> Records`; the contract tests find it
in this module. Its repr is its identity in the cache, so every field must be a plain value.

A source that reads files should also have `content_digest(cache) -> str` (see `Stated`): it is part of the
address of every stage and evaluation that uses the source. A source without it is identified by its fields
and its code only, so a change of its files is not noticed; `train` and `ablate` say so.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from prismlab.core import code_fingerprint, errors
from prismlab.core.io import file_digest, file_names, filesystem, locks, user_paths
from prismlab.data import process_pool
from prismlab.data.records import decoded_frames, record, shards
from prismlab.data.video import folder, frames
from prismlab.data.world import render

FORMAT = 3  # increment when the files that a source writes into the cache change


@runtime_checkable
class Source(Protocol):
    """Protocol of training data sources; opening one may first write shards into the cache."""

    def open(self, cache: pathlib.Path) -> shards.Records:
        """Return the records, read lazily."""
        ...


@runtime_checkable
class Stated(Protocol):
    """Protocol of sources that state the content of their data (optional; see the module's docstring)."""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a string that differs if the records differ; "" if fields and code decide the records.

        Args:
            cache: directory shared by runs, which may remember hashes of files.

        Raises:
            UserError: the data is missing.
        """
        ...


def fingerprint(value: Any) -> str:
    """Return 16 hex digits for names in the cache: sha256 of the repr, FORMAT and the code that writes it."""
    code = code_fingerprint.digest([__name__])
    return hashlib.sha256(f"{FORMAT} {code} {value!r}".encode()).hexdigest()[:16]


def contents(records: shards.Records) -> str:
    """Return a string that identifies the contents: shard checksums, or all fields but the videos."""
    if isinstance(records, shards.ShardReader):
        listed = [shard.sha256 for shard in records.manifest.shards]
        if all(listed):
            return repr(listed)
    return repr([dataclasses.replace(records[index], video=b"") for index in range(len(records))])


def _alone(packed: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Lock a cache entry while one process writes it; other processes wait."""
    process_pool.refuse_unguarded_script()
    return locks.held(packed.with_name(f".{packed.name}.lock"))


def _finish(packed: pathlib.Path, write: Callable[[], None]) -> None:
    """Write the shards of a cache entry if they are missing; a finished cache may be read-only."""
    if not shards.finished(packed):
        with _alone(packed):
            if not shards.finished(packed):
                write()


@dataclasses.dataclass(frozen=True)
class Rendered:
    """Synthetic rendered world, encoded as MP4 files and packed into shards on first use.

    Args:
        world: the world to render, such as `world.World`.
        records_per_shard: clips per shard file.
        workers: number of rendering processes.
        frames_megabytes: keep the decoded frames of all clips beside the shards if they take no more than
            this, in MiB, so that training and evaluation do not decode them; does not change them.
    """

    world: render.Renderable
    records_per_shard: int = 2000
    workers: int = 2
    frames_megabytes: int = 512

    def open(self, cache: pathlib.Path) -> shards.ShardReader:
        """Return the records; renders and packs them first if they are not in the cache.

        Args:
            cache: directory shared by runs; `world-*` holds the MP4 files, `shards-*` the shards, `frames-*`
                the decoded frames.
        """
        packed, pixels = self._shards(cache), self._frames(cache)

        def write() -> None:
            self.render(cache)
            keep = self.frames_megabytes > 0
            records = render.records(self._videos(cache), workers=self.workers, keep_frames=keep)
            if keep:
                records = decoded_frames.kept(records, pixels, self.frames_megabytes << 20)
            shards.write_shards(records, packed, self.records_per_shard)

        _finish(packed, write)
        kept = self.frames_megabytes > 0 and decoded_frames.finished(pixels)
        return shards.ShardReader(packed, decoded=decoded_frames.DecodedFrames(pixels) if kept else None)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return "": the world's parameters and the renderer's code decide the clips."""
        del cache
        return ""

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

    def _frames(self, cache: pathlib.Path) -> pathlib.Path:
        return cache / f"frames-{fingerprint((self.world, frames.decoder_versions()))}"


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
        content = self.content_digest(cache)  # a folder with a changed file is packed again
        packed = cache / f"shards-{fingerprint((self.min_frames, self.records_per_shard, content))}"

        def write() -> None:
            found = folder.read_folder(self._directory(), min_frames=self.min_frames)
            shards.write_shards(found, packed, self.records_per_shard)

        _finish(packed, write)
        return shards.ShardReader(packed)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the names and contents of all files in the folder.

        Raises:
            UserError: the folder has no captions.jsonl.
        """
        directory = self._directory()
        if not (directory / "captions.jsonl").is_file():
            raise errors.UserError(
                f"source.Folder.path: {directory} has no captions.jsonl; see `prismlab world`"
            )
        names = [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]
        found = file_digest.sha256_of(directory, names, cache)
        return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()

    def _directory(self) -> pathlib.Path:
        return user_paths.local(self.path)


class _Uncaptioned:
    """Records of another source without their captions."""

    def __init__(self, records: shards.Records):
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int, /) -> record.Record:
        return dataclasses.replace(self._records[index], caption=None)


@dataclasses.dataclass(frozen=True)
class WithoutCaptions:
    """The clips of another source without their captions: they train the losses of clips, and none of texts.

    Args:
        source: the other source.
    """

    source: Source

    def __post_init__(self) -> None:
        if not isinstance(self.source, Stated):
            raise errors.UserError(
                "source.WithoutCaptions.source: expected a source with content_digest, found "
                f"{self.source!r}; use source.Shards, source.Folder or source.Rendered"
            )

    def open(self, cache: pathlib.Path) -> shards.Records:
        """Return the records of the other source, each with caption None."""
        return _Uncaptioned(self.source.open(cache))

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return the digest of the other source."""
        assert isinstance(self.source, Stated)
        return self.source.content_digest(cache)


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
        return shards.ShardReader(self._where(), cache)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the sha256 of all shards, from the manifest or, where it lists none, the files.

        Raises:
            UserError: the manifest is missing, or a shard is missing, empty or truncated.
        """
        listed = shards.ShardReader(self._where()).manifest.shards
        known = {each.file: each.sha256 for each in listed if each.sha256}
        unknown = [each.file for each in listed if each.file not in known]
        if filesystem.is_remote(self.path):
            for name in unknown:
                with filesystem.local_copy(file_names.join(self.path, name)) as path:
                    known[name] = file_digest.sha256(pathlib.Path(path))
        elif unknown:
            known |= file_digest.sha256_of(pathlib.Path(self._where()), unknown, cache)
        content = [(known[each.file], each.records) for each in listed]
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def _where(self) -> str | pathlib.Path:
        return self.path if filesystem.is_remote(self.path) else user_paths.local(self.path)
