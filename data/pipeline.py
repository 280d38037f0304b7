"""The line itself: shards -> Grain -> decoded clip -> frames -> crop -> token ids -> batch(step).

`Stream.batch(step)` is a pure function of (configuration, seed, step); the state of the whole loader
is therefore the step. Nothing here imports jax, so loader workers start quickly.
"""

import dataclasses
import hashlib
import pathlib
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags
from jaxtyping import UInt8

from core import errors
from data import decode, mixture, record, sampling, source, tokenizer

HostArrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Line:
    """How batches are made.

    Args:
        sources: name -> source; each global batch comes from one of them.
        tokenizer: captions to ids.
        weights: source -> relative share of the batches; None for equal shares.
        frames: t, frames of an example.
        resolution: side of a frame in pixels.
        crop: random crop for training.
        threads: threads that read and decode, in each process.
        workers: loader processes; 0 keeps the threads in the training process.
        prefetch: batches in flight.
        cache_megabytes: decoded clips kept in memory, so that small data is decoded once; decoding
            is pure, so the batches are the same with or without.
    """

    sources: Mapping[str, source.Source]
    tokenizer: tokenizer.Tokenizer
    weights: Mapping[str, float] | None = None
    frames: int = 8
    resolution: int = 288
    crop: sampling.Crop = dataclasses.field(default_factory=sampling.Crop)
    threads: int = 2
    workers: int = 0
    prefetch: int = 4
    cache_megabytes: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("pipeline.Line.sources is empty; name at least one source")
        mixture.weights_of(sorted(self.sources), self.weights)
        for field in ("frames", "resolution", "threads", "prefetch"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        for field in ("workers", "cache_megabytes"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must be at least 0, got {getattr(self, field)}")

    def open(self, batch_size: int, steps: int, seed: int, name: str, cache: pathlib.Path) -> "Stream":
        """Return the stream of batches of a stage.

        Args:
            batch_size: global batch size.
            steps: batches that the stage will read.
            seed: the experiment's seed.
            name: the stage's name, so that stages see other orders.
            cache: directory shared by runs.
        """
        return Stream(self, batch_size, steps, seed, name, cache)


_decoded: dict[tuple[bytes, float | None, float | None], UInt8[np.ndarray, "t h w 3"]] = {}
_decoded_bytes = 0
_decoded_lock = threading.Lock()


def clip_of(example: record.Record, least: int, home: str, megabytes: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Decode the clip of a record, keeping it in memory while there is room.

    Args:
        example: the record.
        least: frames that it must have.
        home: name of its source, for messages.
        megabytes: room for decoded clips in this process; 0 keeps none.

    Raises:
        UserError: it does not decode, or is shorter than asked.
    """
    global _decoded_bytes
    # By content: two stages of one process may call different sources, and different clips, by one name.
    where = (hashlib.blake2b(example.video, digest_size=16).digest(), example.start, example.end)
    found = _decoded.get(where)
    if found is None:
        label = f"clip {example.key!r} of source {home!r}"
        found = decode.decode(example.video, start=example.start, end=example.end, name=label)
        with _decoded_lock:
            if _decoded_bytes + found.nbytes <= megabytes << 20 and where not in _decoded:
                _decoded[where] = found
                _decoded_bytes += found.nbytes
    if len(found) < least:
        raise errors.UserError(
            f"clip {example.key!r} of source {home!r} has {len(found)} frames, pipeline.Line.frames asks for "
            f"{least}; lower it, or leave the clip out"
        )
    return found


class _Prepare(grain.transforms.MapWithIndex):
    """Record -> example; the randomness of an item is its number in the stream, folded with the seed."""

    def __init__(self, line: Line, encode: tokenizer.Encoder, seed: int):
        self._line, self._encode, self._seed = line, encode, seed

    def map_with_index(self, index: int, item: tuple[str, record.Record]) -> HostArrays:
        home, example = item
        rng = np.random.Generator(np.random.Philox(key=[self._seed, index]))
        line = self._line
        video = clip_of(example, line.frames, home, line.cache_megabytes)
        frames = video[sampling.segments(len(video), line.frames, rng)]
        ids, paddings = self._encode(example.caption)
        return {
            "video": line.crop(frames, line.resolution, rng),
            "text_ids": ids,
            "text_paddings": paddings,
            "weight": np.asarray(1.0, np.float32),
        }


class _Named:
    """A source's records together with the source's name, as Grain's random access source."""

    def __init__(self, name: str, records: Sequence[record.Record]):
        self._name, self._records = name, records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> tuple[str, record.Record]:
        return self._name, self._records[index]


def _seed_of(seed: int, *names: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join([str(seed), *names]).encode()).digest()[:8], "big") >> 1


class Stream:
    """The batches of one stage, addressed by step.

    Args (constructor): see Line.open.
    """

    def __init__(self, line: Line, batch_size: int, steps: int, seed: int, name: str, cache: pathlib.Path):
        names = sorted(line.sources)
        encode = line.tokenizer.prepare(cache)
        datasets = []
        self.clips: dict[str, int] = {}
        for each in names:
            records = line.sources[each].open(cache)
            if not len(records):
                raise errors.UserError(f"source {each!r} is empty; give it clips or leave it out")
            self.clips[each] = len(records)
            shuffled = grain.MapDataset.source(_Named(each, records)).seed(_seed_of(seed, name, each) % 2**32)
            datasets.append(shuffled.shuffle().repeat())
        chosen = mixture.Alternate(mixture.weights_of(names, line.weights), batch_size, max(1, steps))
        stream = grain.MapDataset.select_from_datasets(datasets, chosen)
        stream = stream.map_with_index(_Prepare(line, encode, _seed_of(seed, name, "example")))
        self._batches = stream.batch(batch_size, drop_remainder=True)
        self._line, self.vocabulary, self.steps = line, encode.vocabulary, steps
        self.source_of_step = [
            names[i] for i in mixture.schedule(mixture.weights_of(names, line.weights), steps)[0]
        ]

    def batch(self, step: int) -> HostArrays:
        """Return the global batch of a step, whatever was read before.

        Args:
            step: from 0.

        Returns:
            video uint8 [b, t, r, r, 3]; text_ids int32 [b, l]; text_paddings and weight float32.
        """
        return self._batches[step]

    def read(self, start: int) -> Iterator[HostArrays]:
        """Iterate over the batches from a step to the stage's last, read ahead by threads or workers.

        Args:
            start: first step; earlier ones cost nothing.
        """
        line = self._line
        if start >= self.steps:
            return iter(())
        options = grain.ReadOptions(num_threads=line.threads, prefetch_buffer_size=line.prefetch)
        ahead: Any = self._batches[start : self.steps].to_iter_dataset(options)
        if line.workers:
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # Grain's workers read absl flags, which nobody parsed
            ahead = ahead.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=line.workers, per_worker_buffer_size=line.prefetch)
            )
        return iter(ahead)


def read_all(
    home: source.Source, cache: pathlib.Path, *, frames: int, resolution: int, limit: int | None = None
) -> tuple[UInt8[np.ndarray, "c t r r 3"], list[record.Record]]:
    """Read clips in order for an evaluation: frames spread evenly, centre square, no randomness.

    Args:
        home: the source.
        cache: directory shared by runs.
        frames: t, frames of a clip.
        resolution: side of a frame in pixels.
        limit: read only so many, from the first.

    Returns:
        uint8 [clips, t, r, r, 3] and the records without their videos.
    """
    records = home.open(cache)
    total = len(records) if limit is None else limit
    if total > len(records):
        raise errors.UserError(f"evaluation asks for {total} clips, its source has {len(records)}")
    videos = np.empty((total, frames, resolution, resolution, 3), np.uint8)
    kept = []
    for index in range(total):
        example = records[index]
        video = clip_of(example, frames, "evaluation", 0)
        videos[index] = sampling.centre(video[sampling.uniform(len(video), frames)], resolution)
        kept.append(dataclasses.replace(example, video=b""))
    return videos, kept


def checksum(batch: HostArrays) -> str:
    """Return a short checksum of a batch, for logs and tests."""
    crc = 0
    for name in sorted(batch):
        crc = zlib.crc32(np.ascontiguousarray(batch[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"
