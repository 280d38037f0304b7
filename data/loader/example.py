"""Convert the records of a batch to training examples: decode, sample frames, crop, augment, tokenize.

A clip gives one or several views; a bad clip becomes a padding example. Examples also carry their origin
(`ORIGIN` arrays), which `stream.Stream` removes from the batch.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from prismlab.core import errors
from prismlab.data.loader import clip_cache, tokenizer
from prismlab.data.records import record, shards
from prismlab.data.video import sampling

HostArrays = dict[str, np.ndarray]
# home: index of its source among the sorted names; clip: index in its source; caption: hash; frames:
# sampled indices; box: top, left, height, width, mirrored; fault: why it is a padding example, as UTF-8
# padded with zeros.
ORIGIN = ("home", "clip", "caption", "frames", "box", "fault")
FAULT_BYTES = 480
UNREAD = 0  # caption hash of a record that could not be read, or has no caption


@dataclasses.dataclass(frozen=True)
class Item:
    """Element of a source: a record, or the reason why it could not be read.

    Args:
        home: name of the source.
        clip: index of the clip in its source.
        record: the record, or None.
        fault: the error message if record is None.
    """

    home: str
    clip: int
    record: record.Record | None
    fault: str = ""


class Named:
    """Grain random access source over the records of a named source.

    Args:
        name: name of the source.
        records: its records.
        strict: raise if a record cannot be read; otherwise return an Item with a fault.
    """

    def __init__(self, name: str, records: shards.Records, strict: bool):
        self._name, self._records, self._strict = name, records, strict

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Item:
        try:
            return Item(self._name, int(index), self._records[index])
        except errors.UserError as error:
            if self._strict:
                raise
            return Item(self._name, int(index), None, str(error))


class Prepare(grain.transforms.MapWithIndex):
    """Grain transform from the items of a batch to its arrays.

    The random generator of an example depends only on the seed and its index in the global stream.

    Args:
        line: loader configuration (`loader.Line`).
        encode: converts captions to token ids.
        seed: seed of the stage's examples.
        place: maps group indices of this host's stream to the global stream.
    """

    def __init__(self, line: Any, encode: tokenizer.Encoder, seed: int, place: "HostPlace"):
        self._line, self._encode, self._seed, self._place = line, encode, seed, place
        self._homes = {name: np.asarray(index, np.int64) for index, name in enumerate(sorted(line.sources))}

    def map_with_index(self, step: int, items: Sequence[Item]) -> HostArrays:
        """Return this host's part of the batch of a step: num_views examples per item, in order."""
        views = self._line.num_views
        batch: HostArrays = {}
        for number, item in enumerate(items):
            # Copy each example into the batch while it is in the CPU cache: stacking all of them at the
            # end takes twice the time.
            for view, example in enumerate(self._examples(int(step) * self._place.own + number, item)):
                _put(batch, number * views + view, example, len(items) * views)
        return batch

    def _examples(self, index: int, item: Item) -> list[HostArrays]:
        line = self._line
        try:
            if item.record is None:
                raise errors.UserError(item.fault)
            views = self._views(self._place.globally(index), item.home, item.record)
            fault = ""
        except errors.UserError as error:
            if line.max_bad_share == 0:
                raise
            fault = str(error)
            views = [self._placeholder(item)] * line.num_views
        # The clip's name comes first in every message, so truncation keeps it.
        reason = np.frombuffer(fault.encode()[:FAULT_BYTES].ljust(FAULT_BYTES, b"\0"), np.uint8)
        origin: HostArrays = {
            "home": self._homes[item.home],
            "clip": np.asarray(item.clip, np.int64),
            "fault": reason,
        }
        return [view | origin for view in views]

    def _views(self, group: int, home: str, example: record.Record) -> list[HostArrays]:
        line = self._line
        wanted, room = line.frames_of_source(home), line.cache_megabytes
        first = group * line.num_views
        draws = [generator(self._seed, first + view) for view in range(line.num_views)]
        # If the length is known and clips are not cached, decode only the sampled frames.
        whole = clip_cache.clip_of(example, home, room) if room or not example.frame_count else None
        known = example.frame_count or (clip_cache.length(example, home) if whole is None else len(whole))
        clip_cache.check_length(known, wanted, example, home)
        seen = [line.choose(known, wanted, rng) for rng in draws]
        needed = np.unique(np.concatenate(seen))
        if whole is None:
            decoded = clip_cache.chosen(example, needed.tolist(), home)
        else:
            clip_cache.check_length(len(whole), int(needed[-1]) + 1, example, home)
            decoded = ((number, whole[number]) for number in needed.tolist())
        boxes, videos = self._cut(decoded, seen, draws)
        ids, paddings = self._words(example.caption)
        caption = np.asarray(caption_hash(example.caption), np.int64)
        made = []
        for numbers, box, video, rng in zip(seen, boxes, videos, draws):
            for change in line.augment:
                video = change(video, rng)
            made.append(
                {
                    "video": video,
                    "text_ids": ids,
                    "text_paddings": paddings,
                    "weight": np.asarray(1.0, np.float32),
                    "caption": caption,
                    "frames": numbers.astype(np.int32),
                    "box": np.asarray(box, np.int32),
                }
            )
        return made

    def _cut(
        self,
        decoded: Iterator[tuple[int, np.ndarray]],
        seen: Sequence[np.ndarray],
        draws: Sequence[np.random.Generator],
    ) -> tuple[list[sampling.Box], list[np.ndarray]]:
        """Crop frames as they come: of a large video, one frame is held at its full size."""
        line, boxes, videos = self._line, list[sampling.Box](), dict[int, np.ndarray]()
        for number, pixels in decoded:
            boxes = boxes or [line.crop.box(*pixels.shape[:2], rng) for rng in draws]
            for view, numbers in enumerate(seen):
                places = numbers == number
                if places.any():
                    cut = line.crop.cut(pixels[None], boxes[view], line.resolution)[0]
                    if view not in videos:
                        videos[view] = np.empty((len(numbers), *cut.shape), cut.dtype)
                    videos[view][places] = cut
        return boxes, [videos[view] for view in range(len(seen))]

    def _words(self, caption: str | None) -> tuple[np.ndarray, np.ndarray]:
        ids, paddings = self._encode(caption or "")
        return (ids, paddings) if caption is not None else (np.zeros_like(ids), np.ones_like(paddings))

    def _placeholder(self, item: Item) -> HostArrays:
        # Encode an empty caption: a text tower may not support sequences without any token.
        side, (ids, paddings) = self._line.resolution, self._encode("")
        frames = self._line.frames_of_source(item.home)
        caption = UNREAD if item.record is None else caption_hash(item.record.caption)
        return {
            "video": np.zeros((frames, side, side, 3), np.uint8),
            "text_ids": ids,
            "text_paddings": paddings,
            "weight": np.asarray(0.0, np.float32),
            "caption": np.asarray(caption, np.int64),
            "frames": np.full(frames, -1, np.int32),
            "box": np.full(5, -1, np.int32),
        }


def _put(batch: HostArrays, row: int, example: HostArrays, rows: int) -> None:
    for name, value in example.items():
        if name not in batch:
            batch[name] = np.empty((rows, *value.shape), value.dtype)
        into = batch[name]
        # NumPy would silently broadcast or cast an augmented video of another shape or dtype.
        if (value.shape, value.dtype) != (into.shape[1:], into.dtype):
            raise errors.UserError(
                f"examples of a batch must match: expected {name!r} as {into.dtype} {into.shape[1:]}, "
                f"got {value.dtype} {value.shape} in example {row}; check loader.Line.augment"
            )
        into[row] = value


@dataclasses.dataclass(frozen=True)
class HostPlace:
    """The part of every global batch that a host reads: an equal, contiguous range of groups.

    Args:
        groups: groups of views (clips) in a global batch.
        host: process index of this host.
        hosts: number of processes that read the stream.
    """

    groups: int
    host: int = 0
    hosts: int = 1

    @property
    def own(self) -> int:
        """Number of groups of a batch that this host reads."""
        return self.groups // self.hosts

    def globally(self, index: int) -> int:
        """Convert a group index of this host's stream to its index in the global stream."""
        step, place = divmod(int(index), self.own)
        return step * self.groups + self.host * self.own + place


class _Key(np.random.bit_generator.ISeedSequence):
    """Passes a key to Philox unchanged; `Philox(key=...)` reads system entropy first, which takes 1 ms."""

    def __init__(self, *key: int):
        self._key = np.asarray(key, np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """Return the key."""
        if (n_words, np.dtype(dtype)) != (2, np.dtype(np.uint64)):
            raise RuntimeError(f"expected a request for a key of Philox, got {n_words} words of {dtype}")
        return self._key


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of one example, equal to `Philox(key=[seed, index])` but faster."""
    return np.random.Generator(np.random.Philox(_Key(seed, index)))  # type: ignore[arg-type]


def caption_hash(caption: str | None) -> int:
    """Return a signed 64-bit hash of a caption after text normalization, or UNREAD for None."""
    if caption is None:
        return UNREAD
    text = tokenizer.canonicalise(caption).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def take_apart(batch: Mapping[str, np.ndarray]) -> tuple[HostArrays, HostArrays]:
    """Split a batch into the arrays for the device and the `ORIGIN` arrays."""
    device = {name: value for name, value in batch.items() if name not in ORIGIN}
    return device, {name: batch[name] for name in ORIGIN}


def reasons(fault: np.ndarray) -> list[str]:
    """Decode the fault array: the reason of each padding example, empty for a good one.

    Args:
        fault: uint8 [b, FAULT_BYTES].
    """
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in fault]
