"""In-memory cache of decoded clips, so that small datasets are decoded once per process."""

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
    """Raise if a clip has fewer frames than required.

    Raises:
        UserError: the clip is too short.
    """
    if length < least:
        raise errors.UserError(
            f"clip {example.key!r} of source {home!r} has {length} frames, loader.Line.frames asks for "
            f"{least}; lower it or remove the clip"
        )


def clip_of(example: record.Record, least: int, home: str, megabytes: int) -> Clip:
    """Decode the clip of a record, using the in-memory cache.

    Args:
        example: the record.
        least: minimum number of frames.
        home: name of its source, for error messages.
        megabytes: cache size of this process in MiB; 0 disables the cache.

    Raises:
        UserError: the clip does not decode or is too short.
    """
    global _decoded_bytes
    # Keyed by content: stages of one process may use the same name for different sources or clips.
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
    """Decode only the given frames of a clip.

    Args:
        example: the record.
        indices: frame numbers from 0, in any order, repeats allowed.
        home: name of its source, for error messages.

    Raises:
        UserError: the clip does not decode or has too few frames.
    """
    return frames.decode(example, indices, name=_label(example, home))


def _label(example: record.Record, home: str) -> str:
    return f"clip {example.key!r} of source {home!r}"
