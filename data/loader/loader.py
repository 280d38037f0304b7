"""Data loader configuration: shards -> Grain -> decoded clip -> frames -> crop -> token ids -> batch(step).

`Line` is the configuration and opens a `stream.Stream` of batches; `read_all` reads clips in order for an
evaluation. Nothing here imports jax, so loader workers start quickly.
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
    """Configuration of the data loader: sources, mixture, decoding, augmentation and workers.

    Args:
        sources: name -> source; each global batch comes from one of them (see alternate).
        tokenizer: converts captions to token ids.
        weights: source -> relative mixture weight; None for equal weights. Sources that only later phases use
            may be left out.
        frames: t, frames per example.
        resolution: frame height and width in pixels.
        crop: random crop for training.
        threads: reader and decoder threads in each process.
        workers: loader worker processes; 0 runs the threads in the training process.
        prefetch: batches to prefetch.
        cache_megabytes: size of the in-memory cache of decoded clips in MiB, so that small datasets are
            decoded once; does not change the batches.
        phases: changes of the mixture weights at given steps, such as a single source at the end.
        frames_of: source -> t, overrides `frames` for a source (1 for images); a separate train step is
            compiled for each number of frames.
        choose: frame sampling within a clip (`sampling`); random frames of segments by default.
        augment: pixel augmentations applied after the crop, in order; see `augment`.
        num_views: examples per decoded clip, each with its own frames, crop and augmentation; a batch then
            holds batch_size / num_views clips (repeated augmentation).
        unique: "clips": no clip twice within a batch, the incomplete last batch of an epoch is dropped;
            "captions": repeated captions within a batch get weight 0.
        max_bad_share: maximum fraction of a source's clips that may be bad, in [0, 1). Bad clips become
            padding examples (weight 0) and are logged in the stage's ledger; at 0 the first bad clip stops
            the run.
        budget_megabytes: limit in MiB on host memory for prefetched batches and cached clips, checked before
            training starts; None for no check.
        alternate: each batch from one source, as the paper trains; False draws the source of each clip by
            weight, so that batches mix sources.
    """

    sources: Mapping[str, source.Source]
    tokenizer: tokenizer.Tokenizer
    weights: Mapping[str, float] | None = None
    frames: int = 8
    resolution: int = 288
    crop: sampling.Crop | sampling.ResizedCrop = dataclasses.field(default_factory=sampling.Crop)
    threads: int = 2
    workers: int = 0
    prefetch: int = 4
    cache_megabytes: int = 0
    phases: Sequence[mixture.Phase] = ()
    frames_of: Mapping[str, int] | None = None
    choose: sampling.Uniform | sampling.Segments | sampling.Dense = dataclasses.field(
        default_factory=sampling.Segments
    )
    augment: Sequence[Any] = ()
    num_views: int = 1
    unique: Sequence[str] = ()
    max_bad_share: float = 0.0
    budget_megabytes: int | None = None
    alternate: bool = True

    def __post_init__(self) -> None:
        if not self.sources:
            raise errors.UserError("loader.Line.sources is empty; give at least one source")
        self.plan()
        for field in ("frames", "resolution", "threads", "prefetch", "num_views"):
            if getattr(self, field) < 1:
                raise errors.UserError(f"{field} must be at least 1, got {getattr(self, field)}")
        for field in ("workers", "cache_megabytes"):
            if getattr(self, field) < 0:
                raise errors.UserError(f"{field} must be at least 0, got {getattr(self, field)}")
        if not 0 <= self.max_bad_share < 1:
            raise errors.UserError(f"max_bad_share must be in [0, 1), got {self.max_bad_share}")
        strange = sorted(set(self.unique) - {"clips", "captions"})
        if strange:
            raise errors.UserError(f"unique accepts 'clips' and 'captions', got {strange}")
        if self.unique and self.num_views > 1:
            raise errors.UserError(
                f"num_views={self.num_views} repeats each clip in a batch; leave unique empty"
            )
        strange = sorted(set(self.frames_of or {}) - set(self.sources))
        if strange:
            raise errors.UserError(f"frames_of names {strange}, expected some of {sorted(self.sources)}")
        lengths = {name: self.frames_of_source(name) for name in sorted(self.sources)}
        if not self.alternate and len(set(lengths.values())) > 1:
            raise errors.UserError(
                f"loader.Line.alternate=False needs clips of one length in a batch, got frames {lengths}; "
                "drop frames_of, or keep alternate=True"
            )
        if not self.alternate and "clips" in self.unique:
            raise errors.UserError(
                "loader.Line.unique: 'clips' needs batches of one source; drop it, or keep alternate=True"
            )
        if any(count < 1 for count in (self.frames_of or {}).values()):
            raise errors.UserError(f"frames_of must be at least 1, got {self.frames_of}")

    def plan(self) -> mixture.Plan:
        """Return the mixture weights of every step."""
        return mixture.Plan.of(sorted(self.sources), self.weights, tuple(self.phases))

    def frames_of_source(self, name: str) -> int:
        """Return t, the number of frames per example of a source."""
        return (self.frames_of or {}).get(name, self.frames)

    def open(
        self, batch_size: int, steps: int, seed: int, position: int, cache: pathlib.Path,
        host: int = 0, hosts: int = 1,
    ) -> stream.Stream:  # fmt: skip
        """Return the stream of training batches of a stage.

        Args:
            batch_size: global batch size.
            steps: number of batches that the stage will read.
            seed: the experiment's seed.
            position: number of stages before this one in its chain of initial weights, mixed into the seed
                so that each of them shuffles differently, and stages of equal position alike.
            cache: directory shared by runs.
            host: process index; this host gets b / hosts rows of every batch, from row host * b / hosts.
            hosts: number of processes; the global batches do not depend on it.

        Raises:
            UserError: a source is empty or too small, the batch cannot be split over hosts, or the memory
                budget is exceeded.
        """
        return stream.Stream(self, batch_size, steps, seed, position, cache, host, hosts)


def read_all(
    home: source.Source, cache: pathlib.Path, *, frames: int, resolution: int, limit: int | None = None
) -> tuple[UInt8[np.ndarray, "c t r r 3"], list[record.Record]]:
    """Read clips in order for an evaluation: uniformly spaced frames, center crop, no randomness.

    Args:
        home: the source.
        cache: directory shared by runs.
        frames: t, frames per clip.
        resolution: frame height and width in pixels.
        limit: read at most this many clips; None for all.

    Returns:
        uint8 [clips, t, r, r, 3] and the records without their video bytes.

    Raises:
        UserError: limit is larger than the source, or a clip is bad.
    """
    records = home.open(cache)
    total = len(records) if limit is None else limit
    if total > len(records):
        raise errors.UserError(
            f"evaluation asks for {total} clips, its source has {len(records)}; lower the limit"
        )
    videos = np.empty((total, frames, resolution, resolution, 3), np.uint8)
    kept = []
    for index in range(total):
        found = records[index]
        length = clip_cache.length(found, "evaluation")
        clip_cache.check_length(length, frames, found, "evaluation")
        wanted = sampling.uniform(length, frames)
        for number, pixels in clip_cache.chosen(found, wanted.tolist(), "evaluation"):
            videos[index, wanted == number] = sampling.centre_frame(pixels, resolution)
        kept.append(dataclasses.replace(found, video=b"", decoded=None))
    return videos, kept


def checksum(batch: HostArrays) -> str:
    """Return a short checksum of a batch, for logs and tests."""
    crc = 0
    for name in sorted(batch):
        crc = zlib.crc32(np.ascontiguousarray(batch[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"
