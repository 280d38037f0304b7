"""Features of the items of a split: in memory, on disk, or encoded again whenever they are read (streamed).

Heads read features through `FeatureSet.take` only, so all three give the same numbers.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

from prismlab.core import errors
from prismlab.experiments.tasks.features import encoder_pass, feature_store, views
from prismlab.experiments.tasks.interface import items as items_module


@runtime_checkable
class FeatureSet(Protocol):
    """Features of items, by row."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of all views of these rows: [n, v, s, d] tokens or [n, v, d] vectors."""
        ...


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Features held in host memory.

    Args:
        array: [n, v, s, d] or [n, v, d]; read as float32.
    """

    array: Float[np.ndarray, "n v ..."]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.array)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of these rows."""
        return self.array[rows].astype(np.float32, copy=False)


@dataclasses.dataclass(frozen=True)
class Stored:
    """Features in a store on disk, read when they are needed.

    Args:
        store: the store.
        places: int64 [n], rows of the store.
        number: pass over the clips.
    """

    store: feature_store.FeatureStore
    places: Int64[np.ndarray, " n"]
    number: int = 0

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.places)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Read the features of these rows."""
        return self.store.take(self.places[rows], self.number)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of other features.

    Args:
        features: the features.
        rows: int64 [n], the rows.
    """

    features: FeatureSet
    rows: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of these rows."""
        return self.features.take(self.rows[rows])


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Features computed when they are read: decode, encode, forget.

    Args:
        found: the items; all of them can be decoded.
        encoder: the encoder pass.
        number: pass over the clips.
        dtype: number type to which features are rounded, as they are where they are kept.
    """

    found: items_module.ItemSet
    encoder: encoder_pass.EncoderPass
    number: int = 0
    dtype: str = "float32"

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.found)

    def clips(self, rows: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n v t r r 3"]:
        """Decode the views of these rows, each clip once."""
        unique, back = np.unique(rows, return_inverse=True)
        how, found = self.encoder.how, [self.found.items[row] for row in unique]
        return np.stack([views.passes(self.found.load(each), how)[self.number] for each in found])[back]

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Decode and encode these rows, each once and a batch at a time."""
        unique, back = np.unique(rows, return_inverse=True)
        parts = []
        step = max(1, self.encoder.batch_size // self.encoder.how.views)
        for start in range(0, len(unique), step):
            parts.append(encoded_clips(self.clips(unique[start : start + step]), self.encoder))
        features: Float32[np.ndarray, "n v ..."] = np.concatenate(parts)
        kept = features.astype(feature_store.number_type(self.dtype)).astype(np.float32)
        return kept[back]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The readable items of a split, their features, and the items that could not be read.

    Args:
        found: items with features, in the order of the rows.
        features: their features, of the clips as they are.
        missing: key -> reason, of the items without features.
        augmented: features of the same items in each further pass, augmented; for training only.
    """

    found: items_module.ItemSet
    features: FeatureSet
    missing: dict[str, str]
    augmented: tuple[FeatureSet, ...] = ()


def encoded_clips(
    clips: UInt8[np.ndarray, "n v t r r 3"], encoder: encoder_pass.EncoderPass
) -> Float32[np.ndarray, "n v ..."]:
    """Return the features of the views of clips; n may be 0."""
    if not len(clips):
        return np.zeros((*clips.shape[:2], *encoder.shape), np.float32)
    flat = encoder(clips.reshape(-1, *clips.shape[2:]))
    return flat.reshape(*clips.shape[:2], *flat.shape[1:])


def some_left(found: items_module.ItemSet, kept: Sequence[int], missing: Mapping[str, str]) -> None:
    """Raise a UserError if no item of a split could be read."""
    if not kept:
        reason = next(iter(missing.values()), "the split has no items")
        raise errors.UserError(f"{found.name}: none of {len(found)} clips could be read ({reason})")


def decoded(
    found: items_module.ItemSet, item: items_module.Item, encoder: encoder_pass.EncoderPass
) -> UInt8[np.ndarray, "p v t r r 3"] | str:
    """Return the views of a clip in every pass, or in one line why it cannot be read."""
    try:
        return views.passes(found.load(item), encoder.how)
    except (errors.UserError, OSError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
