"""Decode records of any kind to frames: encoded video, one image file per frame, or a single image.

This is the only module that depends on `Record.kind` for decoding.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from prismlab.core import errors
from prismlab.data.records import record as record_module
from prismlab.data.video import decode as decode_module

# Other formats (TIFF, EPS, PSD, ...) have a larger attack surface and are not used for video frames.
FORMATS = ("JPEG", "PNG", "WEBP")
# Pillow warns about large images; `Limits.max_pixels` rejects them before decoding. The filter is global
# because warnings.catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


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
        uint8 [t, h, w, 3], RGB, rotated upright.

    Raises:
        errors.UserError: if the record is unreadable, exceeds a limit, has too few frames, or its frames
            differ in size.
    """
    label = f"clip {record.key!r}" if name is None else name
    if record.kind == "video":
        return _video(record, indices, short_side, limits, label)
    pictures = split(record)
    if len(pictures) > limits.max_frames:
        raise errors.UserError(f"{label}: expected at most {limits.max_frames} frames, got {len(pictures)}")
    chosen = range(len(pictures)) if indices is None else [int(index) for index in indices]
    if max(chosen) >= len(pictures):
        raise errors.UserError(
            f"{label}: expected frame {max(chosen)} (from 0), got {len(pictures)} frames; request fewer or "
            "drop the clip"
        )
    positions: dict[int, list[int]] = {}
    for position, index in enumerate(chosen):
        positions.setdefault(index, []).append(position)
    made: np.ndarray | None = None
    for index in sorted(positions):
        one = picture(pictures[index], short_side=short_side, limits=limits, name=f"{label}, frame {index}")
        if made is None:
            made = np.empty((len(chosen), *one.shape), np.uint8)
        if one.shape != made.shape[1:]:
            sizes = sorted({one.shape[:2], made.shape[1:3]})
            raise errors.UserError(
                f"{label}: expected frames of one size, got {sizes} (height, width); rebuild the record"
            )
        made[positions[index]] = one
    assert made is not None  # a record has at least one frame, and indices are not empty
    return made


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
    """Decode one image file to RGB: applies EXIF rotation, drops alpha, uses the first frame of animations.

    Args:
        data: bytes of a JPEG, PNG or WebP file.
        short_side: see `decode`.
        limits: max_bytes applies to the file, max_pixels to the image.
        name: name of the image in error messages.
        enlarge: upscale smaller images; if False they keep their size.

    Returns:
        uint8 [h, w, 3], RGB.

    Raises:
        errors.UserError: if the image is unreadable, truncated or exceeds a limit.
    """
    if len(data) > limits.max_bytes:
        raise errors.UserError(f"{name}: expected at most {limits.max_bytes} bytes, got {len(data)}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise errors.UserError(
                    f"{name}: expected at most {limits.max_pixels} pixels, got {width}x{height}; "
                    "downscale the image or raise Limits.max_pixels"
                )
            # In place, and converted only if the mode requires it, to avoid copies.
            ImageOps.exif_transpose(image, in_place=True)
            upright = image if image.mode == "RGB" else image.convert("RGB")
            upright.load()
    except errors.UserError:
        raise
    except (
        Exception
    ) as error:  # damaged files make Pillow raise OSError, ValueError, SyntaxError, struct.error, ...
        reason = "not a JPEG, PNG or WebP file" if isinstance(error, Image.UnidentifiedImageError) else error
        raise errors.UserError(
            f"{name}: expected a readable image, got '{reason}'; copy it again or drop it"
        ) from error
    if short_side is not None and (min(upright.size) > short_side or enlarge):
        scale = short_side / min(upright.size)
        size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
        upright = upright.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(upright)


def _video(
    record: record_module.Record,
    indices: Sequence[int] | None,
    short_side: int | None,
    limits: decode_module.Limits,
    label: str,
) -> UInt8[np.ndarray, "t h w 3"]:
    if indices is None:
        return decode_module.decode(
            record.video, start=record.start, end=record.end, short_side=short_side, limits=limits, name=label
        )
    return decode_module.decode_frames(
        record.video,
        indices,
        start=record.start,
        end=record.end,
        count=record.frame_count,
        short_side=short_side,
        limits=limits,
        name=label,
    )
