"""The line itself: shards -> Grain -> decoded clip -> frames -> crop -> token ids -> batch(step).

A `Line` says how; `stream.Stream` is what it opens; `read_all` reads in order for an evaluation. Nothing here
imports jax, so loader workers start quickly.
"""

import dataclasses
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.loader import clip_cache, mixture, source, stream, tokenizer
from prismlab.data.records import record
from prismlab.data.video import sampling

HostArrays = stream.HostArrays


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
        phases: from which steps on other weights hold, such as one source alone at the end.
        frames_of: source -> t, for sources whose clips have another number of frames (images have 1); each
            number of frames gets a compiled step of its own.
        choose: which frames of a clip are seen.
        augment: changes of pixels after the crop, in order; see `augment`.
        num_views: examples that one decoded clip gives, each with frames, crop and changes of its own; the
            batch then holds batch_size / num_views clips (repeat augmentation).
        unique: "clips": no clip twice within a batch, what is left of an epoch is skipped; "captions": what
            comes a second time within a batch has weight 0.
        max_bad_share: share of a source's clips that may be bad, in [0, 1): these become placeholders of
            weight 0 and are named in the stage's ledger. At 0 the first bad clip stops the run.
        budget_megabytes: most memory that batches in flight and kept clips may take on a host, checked
            before the start; None checks nothing.
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
    phases: Sequence[mixture.Phase] = ()
    frames_of: Mapping[str, int] | None = None
    choose: sampling.Segments | sampling.Dense = dataclasses.field(default_factory=sampling.Segments)
    augment: Sequence[Any] = ()
    num_views: int = 1
    unique: Sequence[str] = ()
    max_bad_share: float = 0.0
    budget_megabytes: int | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("loader.Line.sources is empty; name at least one source")
        self.plan()
        for field in ("frames", "resolution", "threads", "prefetch", "num_views"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        for field in ("workers", "cache_megabytes"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must be at least 0, got {getattr(self, field)}")
        if not 0 <= self.max_bad_share < 1:
            raise ValueError(f"max_bad_share must lie in [0, 1), got {self.max_bad_share}")
        strange = sorted(set(self.unique) - {"clips", "captions"})
        if strange:
            raise ValueError(f"unique knows 'clips' and 'captions', got {strange}")
        if self.unique and self.num_views > 1:
            raise ValueError(f"num_views={self.num_views} shows a clip several times; leave unique empty")
        strange = sorted(set(self.frames_of or {}) - set(self.sources))
        if strange:
            raise ValueError(f"frames_of names {strange}, the sources are {sorted(self.sources)}")
        if any(count < 1 for count in (self.frames_of or {}).values()):
            raise ValueError(f"frames_of must be at least 1, got {self.frames_of}")

    def plan(self) -> mixture.Plan:
        """Return the weights of every step."""
        return mixture.Plan.of(sorted(self.sources), self.weights, tuple(self.phases))

    def frames_of_source(self, name: str) -> int:
        """Return t, the frames of an example of a source."""
        return (self.frames_of or {}).get(name, self.frames)

    def open(
        self, batch_size: int, steps: int, seed: int, name: str, cache: pathlib.Path,
        host: int = 0, hosts: int = 1,
    ) -> stream.Stream:  # fmt: skip
        """Return the stream of batches of a stage.

        Args:
            batch_size: global batch size.
            steps: batches that the stage will read.
            seed: the experiment's seed.
            name: the stage's name, so that stages see other orders.
            cache: directory shared by runs.
            host: number of this host, from 0; it gets rows host * b / hosts and on of every batch.
            hosts: how many read together; together they see the same batches as one host would.

        Raises:
            UserError: an empty or too small source, a batch that cannot be split, or too little memory.
        """
        return stream.Stream(self, batch_size, steps, seed, name, cache, host, hosts)


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
        found = records[index]
        video = clip_cache.clip_of(found, frames, "evaluation", 0)
        videos[index] = sampling.centre(video[sampling.uniform(len(video), frames)], resolution)
        kept.append(dataclasses.replace(found, video=b""))
    return videos, kept


def checksum(batch: HostArrays) -> str:
    """Return a short checksum of a batch, for logs and tests."""
    crc = 0
    for name in sorted(batch):
        crc = zlib.crc32(np.ascontiguousarray(batch[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"
