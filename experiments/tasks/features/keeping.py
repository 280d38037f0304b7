"""Where the features of a split are kept: stored on disk for every later task, in memory, or not at all."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from prismlab.core import errors
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import (
    encoder_pass,
    feature_key,
    feature_set,
    feature_store,
    filling,
    row_identity,
)
from prismlab.experiments.tasks.interface import items

MODES = ("stored", "memory", "streamed")
FOLDER = "features"  # of the cache


@dataclasses.dataclass(frozen=True)
class Keeping:
    """How features are kept between the encoder pass and the heads. Scores do not depend on the mode.

    Args:
        mode: "stored" keeps features in the cache, where every task on the same clips finds them and where
            an interrupted pass continues; "memory" keeps them for one task; "streamed" encodes clips
            whenever a head reads them, for features that fit neither on the disk nor in memory.
        dtype: number type of the features, "float32", "bfloat16" or "float16"; heads read float32.
        memory_megabytes: stored features up to this size are read into memory once.
        shard_megabytes: size of the shards, of which a kill costs one.
        verify_rows: stored clips that are encoded again and compared before features are used.
        retry_failed: try again to read clips that could not be read before.
    """

    mode: str = "stored"
    dtype: str = "float32"
    memory_megabytes: int = 1024
    shard_megabytes: int = 128
    verify_rows: int = 0
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise errors.UserError(f"features: mode must be one of {MODES}, got {self.mode!r}")
        feature_store.number_type(self.dtype)
        if min(self.memory_megabytes, self.shard_megabytes - 1, self.verify_rows) < 0:
            raise errors.UserError(
                "features: expected memory_megabytes and verify_rows of 0 or more and shard_megabytes of 1 "
                f"or more, got {self.memory_megabytes}, {self.verify_rows} and {self.shard_megabytes}"
            )

    def encode(
        self, found: items.ItemSet, encoder: encoder_pass.EncoderPass, cache: pathlib.Path
    ) -> feature_set.Encoded:
        """Return the features of a split, leaving out the items that cannot be read.

        Args:
            found: the items.
            encoder: the encoder pass.
            cache: directory shared by runs.

        Raises:
            UserError: no item can be read, or the features do not fit on the disk.
        """
        if self.mode == "streamed":
            return _streamed(found, encoder, self.dtype)
        if self.mode == "memory":
            return in_memory(found, encoder, self.dtype)
        key = feature_key.of(encoder, self.dtype)
        store = feature_store.FeatureStore(cache / FOLDER, key, encoder.shape, self.shard_megabytes << 20)
        identities = row_identity.of(found)
        reused = filling.fill(store, found, identities, encoder, retry_failed=self.retry_failed)
        kept = [row for row, each in enumerate(identities) if store.place(each) is not None]
        lost = {item.key: store.reason(each) or "" for item, each in zip(found.items, identities)
                if store.place(each) is None}  # fmt: skip
        feature_set.some_left(found, kept, lost)
        places = np.asarray([store.place(identities[row]) for row in kept], np.int64)
        readable = found.subset(kept)
        if self.verify_rows and reused:
            worst = verify(store, readable, places, encoder, self.verify_rows)
            text = f"{self.verify_rows} stored clips encoded again, features differ by {worst:.1g}"
            progress.report(f"{found.name}: {text}")
        passes = [feature_set.Stored(store, places, number) for number in range(encoder.how.passes)]
        if len(kept) * store.row_bytes <= self.memory_megabytes << 20:
            rows = np.arange(len(kept))
            held = tuple(feature_set.InMemory(each.take(rows).astype(store.dtype)) for each in passes)
            return feature_set.Encoded(readable, held[0], lost, held[1:])
        return feature_set.Encoded(readable, passes[0], lost, tuple(passes[1:]))


def verify(
    store: feature_store.FeatureStore,
    found: items.ItemSet,
    places: np.ndarray,
    encoder: encoder_pass.EncoderPass,
    rows: int,
) -> float:
    """Encode some stored clips again and compare.

    Args:
        store: the store.
        found: items with features.
        places: their rows in the store.
        encoder: the encoder pass.
        rows: number of items, spread over the split.

    Returns:
        The largest difference, as a share of the largest feature of its clip.

    Raises:
        UserError: features differ by more than the rounding of their number type.
    """
    worst = 0.0
    tolerance = 1e-3 + 2.0 * float(jnp.finfo(store.dtype).eps)
    for row in np.unique(np.linspace(0, len(found) - 1, num=rows).round().astype(np.int64)):
        clip = feature_set.decoded(found, found.items[row], encoder)
        if isinstance(clip, str):
            raise errors.UserError(f"{found.name}: {found.items[row].key} can no longer be read ({clip})")
        new = feature_set.encoded_clips(clip, encoder)
        for number, each in enumerate(new):
            old = store.take(places[row : row + 1], number)[0]
            share = float(np.max(np.abs(each - old)) / max(1e-12, float(np.max(np.abs(each)))))
            worst = max(worst, share)
            if not share <= tolerance:
                raise errors.UserError(
                    f"{store.folder}: stored features of {found.items[row].key!r} differ from those computed "
                    f"now by {share:.2g} of the largest, expected at most {tolerance:.2g}; delete this folder"
                )
    return worst


def in_memory(
    found: items.ItemSet, encoder: encoder_pass.EncoderPass, dtype: str = "float32"
) -> feature_set.Encoded:
    """Return the features of a split in host memory; see `Keeping.encode`."""
    kept, parts, lost = [], [], {}
    counter = progress.Counter(f"{found.name}: clips encoded", len(found))
    kind = feature_store.number_type(dtype)
    for row, features in filling.each_encoded(found, found.items, encoder, counter.add):
        if isinstance(features, str):
            lost[found.items[row].key] = features
        else:
            kept.append(row)
            parts.append(features.astype(kind))
    feature_set.some_left(found, kept, lost)
    passes = [feature_set.InMemory(np.stack(each)) for each in zip(*parts)]
    return feature_set.Encoded(found.subset(kept), passes[0], lost, tuple(passes[1:]))


def _streamed(found: items.ItemSet, encoder: encoder_pass.EncoderPass, dtype: str) -> feature_set.Encoded:
    """Check that the clips can be decoded, so that every pass over them has the same rows."""
    kept, lost = [], {}
    counter = progress.Counter(f"{found.name}: clips checked", len(found))
    for row, item in enumerate(found.items):
        clip = feature_set.decoded(found, item, encoder)
        if isinstance(clip, str):
            lost[item.key] = clip
        else:
            kept.append(row)
        counter.add()
    feature_set.some_left(found, kept, lost)
    readable = found.subset(kept)
    passes = [feature_set.Streamed(readable, encoder, number, dtype) for number in range(encoder.how.passes)]
    return feature_set.Encoded(readable, passes[0], lost, tuple(passes[1:]))
