"""In-memory cache of decoded clips, so that small datasets are decoded once per process."""

import hashlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.data.video import frames

Clip = UInt8[np.ndarray, "t h w 3"]

# Largest clip that is held while its frames are sampled, where its length is unknown and nothing is cached.
UNCACHED_BYTES = 256 << 20
_too_large: dict[tuple[bytes, float | None, float | None], int] = {}
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


def clip_of(example: record.Record, home: str, megabytes: int) -> Clip | None:
    """Decode the whole clip of a record, using the in-memory cache; None if it is too large to be held.

    Args:
        example: the record.
        home: name of its source, for error messages.
        megabytes: cache size of this process in MiB; 0 disables the cache. No clip larger than this, or than
            `UNCACHED_BYTES` without a cache, is held.

    Raises:
        UserError: the clip does not decode.
    """
    global _decoded_bytes
    kept = example.kept_frames
    if kept is not None:
        return kept  # in a file that processes share
    # Keyed by content: stages of one process may use the same name for different sources or clips.
    where = (hashlib.blake2b(example.video, digest_size=16).digest(), example.start, example.end)
    most = megabytes << 20 if megabytes else UNCACHED_BYTES
    if most <= _too_large.get(where, -1):
        return None
    found = _decoded.get(where) if megabytes else None
    if found is None:
        found = _within(example, most, home)
        with _decoded_lock:
            if found is None:
                _too_large[where] = most
            elif megabytes and _decoded_bytes + found.nbytes <= most and where not in _decoded:
                _decoded[where] = found
                _decoded_bytes += found.nbytes
    return found


def _within(example: record.Record, most: int, home: str) -> Clip | None:
    kept = list[np.ndarray]()
    for _, pixels in frames.each(example, name=_label(example, home)):
        if (len(kept) + 1) * pixels.nbytes > most:
            return None
        kept.append(pixels)
    return np.stack(kept)


def length(example: record.Record, home: str) -> int:
    """Return the number of frames of a clip, from the record or by decoding without holding frames.

    Raises:
        UserError: the clip does not decode.
    """
    return example.frame_count or frames.count(example, name=_label(example, home))


def chosen(
    example: record.Record, indices: Sequence[int], home: str
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Decode only the given frames of a clip, one at a time.

    Args:
        example: the record.
        indices: frame numbers from 0, in any order, repeats allowed.
        home: name of its source, for error messages.

    Yields:
        (frame number, uint8 [h, w, 3]), ascending, each number once.

    Raises:
        UserError: the clip does not decode or has too few frames.
    """
    return frames.each(example, indices, name=_label(example, home))


def _label(example: record.Record, home: str) -> str:
    return f"clip {example.key!r} of source {home!r}"
