"""Decoded clips, kept in memory while there is room, so that small data is decoded once a process."""

import hashlib
import threading
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.data.video import frames

Clip = UInt8[np.ndarray, "t h w 3"]

_decoded: dict[tuple[bytes, float | None, float | None], Clip] = {}
_decoded_bytes = 0
_decoded_lock = threading.Lock()


def check_length(length: int, least: int, example: record.Record, home: str) -> None:
    """Refuse a clip that is shorter than asked.

    Raises:
        UserError: naming the clip, its source and both numbers.
    """
    if length < least:
        raise errors.UserError(
            f"clip {example.key!r} of source {home!r} has {length} frames, loader.Line.frames asks for "
            f"{least}; lower it, or leave the clip out"
        )


def clip_of(example: record.Record, least: int, home: str, megabytes: int) -> Clip:
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
    found = _decoded.get(where) if megabytes else None
    if found is None:
        found = frames.decode(example, name=_label(example, home))
        with _decoded_lock:
            if _decoded_bytes + found.nbytes <= megabytes << 20 and where not in _decoded:
                _decoded[where] = found
                _decoded_bytes += found.nbytes
    check_length(len(found), least, example, home)
    return found


def chosen(example: record.Record, indices: Sequence[int], home: str) -> Clip:
    """Decode only some frames of a clip.

    Args:
        example: the record.
        indices: frame numbers from 0, in any order, repeats allowed.
        home: name of its source, for messages.

    Raises:
        UserError: it does not decode, or has too few frames.
    """
    return frames.decode(example, indices, name=_label(example, home))


def _label(example: record.Record, home: str) -> str:
    return f"clip {example.key!r} of source {home!r}"
