"""Decode records of any kind to frames: encoded video, one image file per frame, or a single image.

This is the only module that depends on `Record.kind` for decoding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
import PIL
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.records import record as record_module
from prismlab.data.video import decode as decode_module
from prismlab.data.video import pixels as pixels_module
from prismlab.data.video.containers import pictures


def decode(
    record: record_module.Record,
    indices: Sequence[int] | None = None,
    *,
    short_side: int | None = None,
    limits: decode_module.Limits = decode_module.DEFAULT_LIMITS,
    name: str | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Decode all frames, or selected frames, of a record to RGB.

    For image records only the selected frames are decoded. For videos decoding stops after the last selected
    frame and may skip groups of pictures in between (see `h264_groups`). If known, `record.frame_count` is
    the number of frames to select from.

    Args:
        record: record of any kind.
        indices: frame indices counted from the record's start, in any order, repeats allowed; None for all.
        short_side: length of the shorter side after bilinear resizing, in pixels, or None to keep the size.
        limits: limits on the file; max_pixels applies to each image.
        name: name of the record in error messages; default its key.

    Returns:
        uint8 [t, h, w, 3], RGB, as shown (see `geometry`).

    Raises:
        errors.UserError: if the record is unreadable, exceeds a limit, has too few frames, or its frames
            differ in size.
    """
    label = f"clip {record.key!r}" if name is None else name
    found = each(record, indices, short_side=short_side, limits=limits, name=label)
    return pixels_module.gathered(found, indices, limits, label)


def each(
    record: record_module.Record,
    indices: Sequence[int] | None = None,
    *,
    short_side: int | None = None,
    limits: decode_module.Limits = decode_module.DEFAULT_LIMITS,
    name: str | None = None,
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Decode the frames of a record one at a time, so that no more than one needs to be held.

    Args:
        record: see `decode`.
        indices: see `decode`.
        short_side: see `decode`.
        limits: see `decode`.
        name: see `decode`.

    Yields:
        (frame index, uint8 [h, w, 3]), in ascending order, each index once.

    Raises:
        errors.UserError: see `decode`; frames yielded before the error are valid.
    """
    label = f"clip {record.key!r}" if name is None else name
    if indices is not None and not len(indices):
        raise errors.UserError("expected at least one frame index, got none")
    kept = record.kept_frames
    if kept is not None and short_side is None and limits == decode_module.DEFAULT_LIMITS:
        yield from _chosen(kept, indices, label)
        return
    if record.kind == "video":
        part = {"start": record.start, "end": record.end}
        yield from decode_module.each_frame(
            record.video, indices, **part, count=record.frame_count, short_side=short_side, limits=limits,
            name=label,
        )  # fmt: skip
        return
    files = split(record)
    if len(files) > limits.max_frames:
        raise errors.UserError(f"{label}: expected at most {limits.max_frames} frames, got {len(files)}")
    chosen = range(len(files)) if indices is None else sorted({int(index) for index in indices})
    if max(chosen) >= len(files):
        raise errors.UserError(
            f"{label}: expected frame {max(chosen)} (from 0), got {len(files)} frames; request fewer or "
            "drop the clip"
        )
    shape = None
    for index in chosen:
        one = picture(files[index], short_side=short_side, limits=limits, name=f"{label}, frame {index}")
        if shape is not None and one.shape != shape:
            sizes = sorted({one.shape[:2], shape[:2]})
            raise errors.UserError(
                f"{label}: expected frames of one size, got {sizes} (height, width); rebuild the record"
            )
        shape = one.shape
        yield index, one


def _chosen(
    frames: np.ndarray, indices: Sequence[int] | None, label: str
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    chosen = range(len(frames)) if indices is None else sorted({int(index) for index in indices})
    if chosen[-1] >= len(frames):
        raise errors.UserError(
            f"{label}: expected frame {chosen[-1]} (from 0), got {len(frames)} frames; request fewer or drop "
            "the clip"
        )
    for index in chosen:
        yield index, frames[index]


def count(
    record: record_module.Record,
    *,
    limits: decode_module.Limits = decode_module.DEFAULT_LIMITS,
    name: str | None = None,
) -> int:
    """Return the number of frames of a record, by decoding a video without converting its frames.

    Raises:
        errors.UserError: see `decode`.
    """
    label = f"clip {record.key!r}" if name is None else name
    kept = record.kept_frames
    if kept is not None:
        return len(kept)
    if record.kind != "video":
        return len(split(record))
    return decode_module.count_frames(
        record.video, start=record.start, end=record.end, limits=limits, name=label
    )


def decoder_versions() -> dict[str, Any]:
    """Return the versions of the libraries that decide the pixels of a decoded clip."""
    libraries = {name: ".".join(map(str, found)) for name, found in sorted(av.library_versions.items())}
    return {"av": av.__version__, "ffmpeg": libraries, "pillow": PIL.__version__}


def split(record: record_module.Record) -> list[bytes]:
    """Split a record of kind "frames" or "image" into the bytes of its image files."""
    if record.kind == "image":
        return [record.video]
    ends = np.cumsum(record.sizes)
    return [record.video[end - size : end] for end, size in zip(ends, record.sizes)]


def picture(
    data: bytes,
    *,
    short_side: int | None = None,
    limits: decode_module.Limits = decode_module.DEFAULT_LIMITS,
    name: str = "picture",
    enlarge: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode one image file to RGB, as shown (see `pictures`); the first frame of animations.

    Args:
        data: bytes of a file in one of `pictures.FORMATS`.
        short_side: see `decode`.
        limits: max_bytes applies to the file, max_pixels to the image.
        name: name of the image in error messages.
        enlarge: upscale smaller images; if False they keep their size.

    Returns:
        uint8 [h, w, 3], RGB.

    Raises:
        errors.UserError: if the image is unreadable, truncated or exceeds a limit.
    """
    pixels = pictures.read(data, limits, name).pixels
    size = pixels_module.scaled((pixels.shape[1], pixels.shape[0]), short_side, enlarge)
    return pixels_module.resized(pixels, size)
