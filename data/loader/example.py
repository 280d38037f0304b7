"""The records of a batch to its examples: decoded once, seen once or several times, or a placeholder.

Beside what the device gets, an example carries where it came from (`ORIGIN` arrays); `pipeline.Stream`
takes these off before the batch goes on.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from prismlab.core import errors
from prismlab.data.loader import clip_cache, tokenizer
from prismlab.data.records import record

HostArrays = dict[str, np.ndarray]
# clip: number in its source; caption: hash; frames: numbers seen; box: top, left, height, width, mirrored;
# fault: why it is a placeholder, as UTF-8 padded with zeros.
ORIGIN = ("clip", "caption", "frames", "box", "fault")
FAULT_BYTES = 480
UNREAD = 0  # stands for the caption of a record that could not be read


@dataclasses.dataclass(frozen=True)
class Item:
    """What a source hands over: a record, or why there is none.

    Args:
        home: name of the source.
        clip: number of the clip in its source.
        record: the record, or None.
        fault: the reason where there is no record.
    """

    home: str
    clip: int
    record: record.Record | None
    fault: str = ""


class Named:
    """A source's records together with the source's name, as Grain's random access source.

    Args:
        name: of the source.
        records: its records.
        strict: let a record that cannot be read raise; otherwise it is handed over as a fault.
    """

    def __init__(self, name: str, records: Sequence[record.Record], strict: bool):
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
    """Items of a batch -> its arrays; the randomness of an example is its number in the stream and the seed.

    Args:
        line: how batches are made (`loader.Line`).
        encode: captions to ids.
        seed: of the stage's examples.
        place: number of a group in this host's stream -> its number in the global stream.
    """

    def __init__(self, line: Any, encode: tokenizer.Encoder, seed: int, place: "HostPlace"):
        self._line, self._encode, self._seed, self._place = line, encode, seed, place

    def map_with_index(self, step: int, items: Sequence[Item]) -> HostArrays:
        """Return this host's part of the batch of a step: num_views examples of each item, in order."""
        views = self._line.num_views
        batch: HostArrays = {}
        for number, item in enumerate(items):
            # Each example goes into the batch while the processor's cache still holds it: keeping all of
            # them and stacking them afterwards costs twice the time.
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
        # The clip's name comes first in every message, so it survives the cut.
        told = np.frombuffer(fault.encode()[:FAULT_BYTES].ljust(FAULT_BYTES, b"\0"), np.uint8)
        return [view | {"clip": np.asarray(item.clip, np.int64), "fault": told} for view in views]

    def _views(self, group: int, home: str, example: record.Record) -> list[HostArrays]:
        line = self._line
        wanted, room = line.frames_of_source(home), line.cache_megabytes
        first = group * line.num_views
        draws = [generator(self._seed, first + view) for view in range(line.num_views)]
        # Where the length is known and nothing is kept, only the frames that are seen are decoded.
        whole = None if example.frame_count and not room else clip_cache.clip_of(example, wanted, home, room)
        known = example.frame_count or len(whole)  # type: ignore[arg-type]
        clip_cache.check_length(known, wanted, example, home)
        seen = [line.choose(known, wanted, rng) for rng in draws]
        needed = np.unique(np.concatenate(seen))
        if whole is None:
            decoded = clip_cache.chosen(example, needed.tolist(), home)
        else:
            clip_cache.check_length(len(whole), int(needed[-1]) + 1, example, home)
            decoded = whole[needed]
        pictures = [_picked(decoded, needed, numbers) for numbers in seen]
        ids, paddings = self._encode(example.caption)
        caption = np.asarray(caption_hash(example.caption), np.int64)
        made = []
        for numbers, frames, rng in zip(seen, pictures, draws):
            box = line.crop.box(frames.shape[1], frames.shape[2], rng)
            video = line.crop.cut(frames, box, line.resolution)
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

    def _placeholder(self, item: Item) -> HostArrays:
        # An empty caption, for a text tower may not be able to read no token at all.
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


def _picked(decoded: np.ndarray, numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    # A clip of 16 frames of the paper's size is 4 MB, copied only where it must be.
    if np.array_equal(numbers, wanted):
        return decoded
    return decoded[np.searchsorted(numbers, wanted)]


def _put(batch: HostArrays, row: int, example: HostArrays, rows: int) -> None:
    for name, value in example.items():
        if name not in batch:
            batch[name] = np.empty((rows, *value.shape), value.dtype)
        into = batch[name]
        # NumPy would stretch or round without a word what an augmentation made of another shape or type.
        if (value.shape, value.dtype) != (into.shape[1:], into.dtype):
            raise ValueError(
                f"examples of a batch must be alike: {name!r} is {into.dtype} {into.shape[1:]} in the first, "
                f"{value.dtype} {value.shape} in example {row}; look at loader.Line.augment"
            )
        into[row] = value


@dataclasses.dataclass(frozen=True)
class HostPlace:
    """Which part of every global batch a host reads: an equal, contiguous run of its groups.

    Args:
        groups: groups of views in a global batch.
        host: number of this host, from 0.
        hosts: how many read the stream together.
    """

    groups: int
    host: int = 0
    hosts: int = 1

    @property
    def own(self) -> int:
        """Groups of a batch that this host reads."""
        return self.groups // self.hosts

    def globally(self, index: int) -> int:
        """Return the number in the global stream of the index-th group that this host reads."""
        step, place = divmod(int(index), self.own)
        return step * self.groups + self.host * self.own + place


class _Key(np.random.bit_generator.ISeedSequence):
    """Hands a key to Philox as it is; `Philox(key=...)` first asks the system for entropy: a millisecond."""

    def __init__(self, *key: int):
        self._key = np.asarray(key, np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """Return the key."""
        assert (n_words, np.dtype(dtype)) == (2, np.dtype(np.uint64))
        return self._key


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the randomness of one example, equal to that of `Philox(key=[seed, index])`."""
    return np.random.Generator(np.random.Philox(_Key(seed, index)))  # type: ignore[arg-type]


def caption_hash(caption: str) -> int:
    """Return a signed 64-bit number that stands for a caption as the tokenizer sees it."""
    text = tokenizer.canonicalise(caption).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def take_apart(batch: Mapping[str, np.ndarray]) -> tuple[HostArrays, HostArrays]:
    """Return what the device gets, and where it came from."""
    device = {name: value for name, value in batch.items() if name not in ORIGIN}
    return device, {name: batch[name] for name in ORIGIN}


def reasons(fault: np.ndarray) -> list[str]:
    """Return the reason of each example, empty for a good one.

    Args:
        fault: uint8 [b, FAULT_BYTES].
    """
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in fault]
