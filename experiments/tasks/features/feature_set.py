"""Features of the items of a split: in memory, or encoded again whenever they are read (streamed).

Heads read features through `FeatureSet.take` only, so both give the same numbers.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from prismlab.core import errors
from prismlab.experiments.tasks.features import encoder_pass, views
from prismlab.experiments.tasks.interface import items as items_module
from prismlab.experiments.tasks.interface import protocols


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
        array: float32 [n, v, s, d] or [n, v, d].
    """

    array: Float32[np.ndarray, "n v ..."]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.array)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of these rows."""
        return self.array[rows]


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
        found: the items.
        encoder: the encoder pass.
        how: the protocol.
    """

    found: items_module.ItemSet
    encoder: encoder_pass.EncoderPass
    how: protocols.Protocol

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.found)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Decode and encode these rows."""
        clips = np.stack([views.of(self.found.load(self.found.items[row]), self.how) for row in rows])
        flat: UInt8[np.ndarray, "n t r r 3"] = clips.reshape(-1, *clips.shape[2:])
        features = self.encoder(flat)
        return features.reshape(len(clips), clips.shape[1], *features.shape[1:])


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The readable items of a split, their features, and the items that could not be read.

    Args:
        found: items with features, in the order of the rows.
        features: their features.
        missing: key -> reason, of the items without features.
    """

    found: items_module.ItemSet
    features: FeatureSet
    missing: dict[str, str]


def encode(
    found: items_module.ItemSet,
    encoder: encoder_pass.EncoderPass,
    how: protocols.Protocol,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Encoded:
    """Encode all items of a split to memory, leaving out those that cannot be read.

    Args:
        found: the items.
        encoder: the encoder pass.
        how: the protocol.
        progress: called as progress(items done, items) from time to time.

    Raises:
        UserError: no item could be read.
    """
    kept: list[int] = []
    missing: dict[str, str] = {}
    parts, waiting, width = [], [], 0
    for row, item in enumerate(found.items):
        try:
            waiting.append(views.of(found.load(item), how))
            kept.append(row)
        except (errors.UserError, OSError) as error:
            missing[item.key] = " ".join(str(error).split())[:200]
        width = sum(len(each) for each in waiting)
        if waiting and (width >= encoder.batch_size or row + 1 == len(found)):
            parts.append(encoder(np.concatenate(waiting)))
            waiting = []
            progress(row + 1, len(found))
    _some_left(found, kept, missing)
    if waiting:
        parts.append(encoder(np.concatenate(waiting)))
    flat = np.concatenate(parts)
    array = flat.reshape(len(kept), how.views, *flat.shape[1:])
    return Encoded(found.subset(kept), InMemory(array), missing)


def streamed(
    found: items_module.ItemSet, encoder: encoder_pass.EncoderPass, how: protocols.Protocol
) -> Encoded:
    """Check that the items of a split can be decoded; return features that are computed when they are read.

    Args:
        found: the items.
        encoder: the encoder pass.
        how: the protocol.

    Raises:
        UserError: no item could be read.
    """
    kept: list[int] = []
    missing: dict[str, str] = {}
    for row, item in enumerate(found.items):
        try:
            views.of(found.load(item), how)
            kept.append(row)
        except (errors.UserError, OSError) as error:
            missing[item.key] = " ".join(str(error).split())[:200]
    _some_left(found, kept, missing)
    readable = found.subset(kept)
    return Encoded(readable, Streamed(readable, encoder, how), missing)


def _some_left(found: items_module.ItemSet, kept: list[int], missing: dict[str, str]) -> None:
    if not kept:
        reason = next(iter(missing.values()), "the split has no items")
        raise errors.UserError(f"{found.name}: none of {len(found)} clips could be read ({reason})")
