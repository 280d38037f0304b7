"""A record of any kind to frames: encoded video, one picture file a frame, or one image.

This is the one place that asks what kind a record is.
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

# Others (TIFF, EPS, PSD, ...) have decoders with more surface and are no format of frames.
FORMATS = ("JPEG", "PNG", "WEBP")
# Pillow warns of large pictures; here the limit refuses them before a pixel is decoded. Silenced once:
# silencing for the length of a call is not safe among threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(
    record: record_module.Record,
    indices: Sequence[int] | None = None,
    *,
    short_side: int | None = None,
    limits: decode_module.Limits = decode_module.DEFAULT_LIMITS,
    name: str | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return the pixels of a record: all of its frames, or chosen ones.

    Choosing is cheap for pictures (no other frame is decoded); for a video it saves what follows the last
    chosen frame, and often what lies between (see `groups`). A record with a `frame_count` tells how many
    there are to choose from.

    Args:
        record: of any kind.
        indices: frame numbers from 0, counted from the record's start, in any order, repeats allowed;
            None for all frames.
        short_side: resize so that the shorter side has this many pixels (bilinear), or None to keep the size.
        limits: bounds on the file; max_pixels on each picture.
        name: how messages call the record; default its key.

    Returns:
        uint8 [t, h, w, 3], RGB, turned upright.

    Raises:
        errors.UserError: naming the record: unreadable, beyond a limit, several sizes, too few frames.
    """
    label = f"clip {record.key!r}" if name is None else name
    if record.kind == "video":
        return _video(record, indices, short_side, limits, label)
    pictures = split(record)
    if len(pictures) > limits.max_frames:
        raise errors.UserError(f"{label}: wanted at most {limits.max_frames} frames, got {len(pictures)}")
    chosen = range(len(pictures)) if indices is None else [int(index) for index in indices]
    if max(chosen) >= len(pictures):
        raise errors.UserError(
            f"{label}: wanted frame {max(chosen)} (from 0), got {len(pictures)} frames; ask for fewer or "
            "leave the clip out"
        )
    places: dict[int, list[int]] = {}
    for place, index in enumerate(chosen):
        places.setdefault(index, []).append(place)
    made: np.ndarray | None = None
    for index in sorted(places):
        one = picture(pictures[index], short_side=short_side, limits=limits, name=f"{label}, frame {index}")
        if made is None:
            made = np.empty((len(chosen), *one.shape), np.uint8)
        if one.shape != made.shape[1:]:
            sizes = sorted({one.shape[:2], made.shape[1:3]})
            raise errors.UserError(
                f"{label}: wanted frames of one size, got {sizes} (height, width); write the record again"
            )
        made[places[index]] = one
    assert made is not None  # a record has a frame, and who chooses chooses some
    return made


def split(record: record_module.Record) -> list[bytes]:
    """Return the picture files of a record of kind "frames" or "image"."""
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
    """Decode one picture file: upright as EXIF says, without transparency, the first of an animation.

    Args:
        data: bytes of a JPEG, PNG or WebP file.
        short_side: as in `decode`.
        limits: bounds; max_bytes on the file, max_pixels on the picture.
        name: how messages call it.
        enlarge: whether a smaller picture is made larger; else it keeps its size.

    Returns:
        uint8 [h, w, 3], RGB.

    Raises:
        errors.UserError: naming the picture: unreadable, cut, or too large.
    """
    if len(data) > limits.max_bytes:
        raise errors.UserError(f"{name}: wanted at most {limits.max_bytes} bytes, got {len(data)}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise errors.UserError(
                    f"{name}: wanted at most {limits.max_pixels} pixels, got {width}x{height}; "
                    "shrink the picture or raise Limits.max_pixels"
                )
            # In place, and converted only where the mode asks: both copy the picture otherwise.
            ImageOps.exif_transpose(image, in_place=True)
            upright = image if image.mode == "RGB" else image.convert("RGB")
            upright.load()
    except errors.UserError:
        raise
    except (
        Exception
    ) as error:  # damaged bytes make Pillow raise OSError, ValueError, SyntaxError, struct.error, ...
        reason = "not a JPEG, PNG or WebP file" if isinstance(error, Image.UnidentifiedImageError) else error
        raise errors.UserError(
            f"{name}: wanted a readable picture, got '{reason}'; copy it again or leave it out"
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
