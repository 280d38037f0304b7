"""Encodings of clips in shards: H.264 with short GOPs, JPEG frames, or the original bytes.

An encoding is a frozen dataclass; its repr is its identity. Output is deterministic for the same versions of
av and pillow, whose codecs are used.
"""

import dataclasses
import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.corpus import cutting
from prismlab.data.corpus.inputs import media
from prismlab.data.records import record
from prismlab.data.video import encode
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import clock

_UNKNOWN_RATE = 25.0  # frames per second if the rate is unknown, as in FFmpeg


@dataclasses.dataclass(frozen=True)
class Made:
    """Encoded record with the values needed for corpus statistics.

    Args:
        record: the record to write.
        seconds: duration; 0 for an image.
        frames: number of frames.
        short_side: shorter side of a frame in pixels.
        variable: the video has a variable frame rate.
        still: no frame differs visibly from the first.
    """

    record: record.Record
    seconds: float
    frames: int
    short_side: int
    variable: bool = False
    still: bool = False


Outcome = tuple[media.Cut, Made | errors.UserError]


@runtime_checkable
class Encoding(Protocol):
    """Protocol of encodings, which convert media to records."""

    def __call__(self, medium: media.Medium, limits: container.Limits) -> Iterator[Outcome]:
        """Yield each clip of a medium with its record or error, in the order of the cuts."""
        ...


@dataclasses.dataclass(frozen=True)
class H264:
    """Cut, downscale and re-encode clips as H.264; images are stored as JPEG.

    Args:
        short_side: shorter side in pixels; smaller videos are not enlarged; None keeps the original size.
        fps: constant frames per second; None keeps all frames at their mean rate.
        gop: GOP size, frames from one key frame to the next; small values make seeking fast.
        crf: x264 constant rate factor, 0 (lossless) to 51.
        preset: x264 preset.
        quality: JPEG quality of images, 1 to 95.
    """

    short_side: int | None = 288
    fps: float | None = None
    gop: int = 8
    crf: int = 20
    preset: str = "veryfast"
    quality: int = 90

    def __post_init__(self) -> None:
        _check(self.short_side, self.fps, self.quality)
        if self.gop < 1 or not 0 <= self.crf <= 51:
            raise errors.UserError(
                f"expected H264 gop >= 1 and crf in [0, 51], got {self.gop} and {self.crf}"
            )

    def __call__(self, medium: media.Medium, limits: container.Limits) -> Iterator[Outcome]:
        """Yield each clip of a medium with its record or error."""

        def encoded(cut: media.Cut, pixels: cutting.Pixels) -> Made | errors.UserError:
            if medium.kind == "image":
                return _image(cut, pixels, self.quality)
            height, width = (side - side % 2 for side in pixels.frames.shape[1:3])
            if min(height, width) < 2:
                return errors.UserError(f"{medium.name}: expected frames of at least 2x2 pixels")
            even = pixels.frames[:, :height, :width]
            rate = self.fps or pixels.fps or medium.fps or _UNKNOWN_RATE
            data = encode.encode(even, _exact(rate), crf=self.crf, preset=self.preset, gop=self.gop)
            packed = record.Record(cut.key, data, cut.caption, labels=_labels(cut), frame_count=len(even))
            return _made(packed, pixels, rate)

        return _outcomes(medium, self.short_side, self.fps, limits, encoded)


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """Cut, downscale and store clips as one JPEG per frame.

    Several times the size of H.264, but with fast random access to frames.

    Args:
        short_side: as in H264.
        fps: as in H264.
        quality: JPEG quality, 1 to 95.
    """

    short_side: int | None = 288
    fps: float | None = None
    quality: int = 90

    def __post_init__(self) -> None:
        _check(self.short_side, self.fps, self.quality)

    def __call__(self, medium: media.Medium, limits: container.Limits) -> Iterator[Outcome]:
        """Yield each clip of a medium with its record or error."""

        def encoded(cut: media.Cut, pixels: cutting.Pixels) -> Made | errors.UserError:
            if medium.kind == "image":
                return _image(cut, pixels, self.quality)
            rate = self.fps or pixels.fps or medium.fps
            pictures = [jpeg(frame, self.quality) for frame in pixels.frames]
            packed = record.of_frames(cut.key, pictures, cut.caption, fps=rate, labels=_labels(cut))
            return _made(packed, pixels, rate or _UNKNOWN_RATE)

        return _outcomes(medium, self.short_side, self.fps, limits, encoded)


@dataclasses.dataclass(frozen=True)
class Untouched:
    """Store the original bytes; files are decoded only for checks. Each clip contains the whole video."""

    def __call__(self, medium: media.Medium, limits: container.Limits) -> Iterator[Outcome]:
        """Yield each clip of a medium with its record or error."""
        read: list[bytes] = []

        def encoded(cut: media.Cut, pixels: cutting.Pixels) -> Made | errors.UserError:
            own = read or _bytes(medium, limits)
            read[:] = own
            rate = pixels.fps or medium.fps
            if medium.kind == "frames":
                # Store only the frames between start and end: frames have no timestamps.
                step = 1 / (medium.fps or _UNKNOWN_RATE)
                first = round(pixels.times[0] / step)
                kept = own[first : first + len(pixels.frames)]
                packed = record.of_frames(cut.key, kept, cut.caption, fps=medium.fps, labels=_labels(cut))
            elif medium.kind == "image":
                packed = record.Record(
                    cut.key, own[0], cut.caption, labels=_labels(cut), kind="image", frame_count=1
                )
            else:
                packed = record.Record(
                    cut.key,
                    own[0],
                    cut.caption,
                    cut.start,
                    cut.end,
                    _labels(cut),
                    frame_count=len(pixels.frames),
                )
            return _made(packed, pixels, rate or _UNKNOWN_RATE)

        return _outcomes(medium, None, None, limits, encoded)


def jpeg(pixels: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Encode one frame as JPEG; deterministic."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _check(short_side: int | None, fps: float | None, quality: int) -> None:
    if short_side is not None and short_side < 16:
        raise errors.UserError(f"expected short_side of 16 pixels or more, or None, got {short_side}")
    if fps is not None and not 0 < fps <= 240:
        raise errors.UserError(f"expected fps in (0, 240], or None, got {fps}")
    if not 1 <= quality <= 95:
        raise errors.UserError(f"expected quality from 1 to 95, got {quality}")


def _labels(cut: media.Cut) -> dict[str, Any]:
    if cut.start is None and cut.end is None:
        return cut.labels
    return cut.labels | {"cut": [cut.start, cut.end]}


def _bytes(medium: media.Medium, limits: container.Limits) -> list[bytes]:
    if medium.read is not None:
        return medium.read()
    return [filesystem.read(medium.path, limits.max_bytes)]


def _outcomes(
    medium: media.Medium,
    short_side: int | None,
    fps: float | None,
    limits: container.Limits,
    encoded: Callable[[media.Cut, cutting.Pixels], Made | errors.UserError],
) -> Iterator[Outcome]:
    """Encode each clip as soon as it is cut, and yield the results in the order of the cuts."""
    timing = clock.Timing()
    if medium.kind == "video":
        video = medium.path or _bytes(medium, limits)[0]
        stream = cutting.of_video(video, medium.name, short_side, limits, timing)
    else:
        rate = medium.fps or _UNKNOWN_RATE
        stream = cutting.of_pictures(_bytes(medium, limits), medium.name, short_side, limits, rate)
    done: dict[int, Made | errors.UserError] = {}  # encoded, therefore small
    turn = 0
    for index, pixels in cutting.cut(stream, medium.name, medium.cuts, limits, timing):
        made: cutting.Pixels | errors.UserError = pixels
        if isinstance(made, cutting.Pixels) and fps is not None and medium.kind != "image":
            made = cutting.resample(made, fps, medium.name, limits)
        done[index] = made if isinstance(made, errors.UserError) else encoded(medium.cuts[index], made)
        del pixels, made
        while turn in done:
            yield medium.cuts[turn], done.pop(turn)
            turn += 1


def _image(cut: media.Cut, pixels: cutting.Pixels, quality: int) -> Made:
    data = jpeg(pixels.frames[0], quality)
    packed = record.Record(cut.key, data, cut.caption, labels=_labels(cut), kind="image", frame_count=1)
    return _made(packed, pixels, None)


def _exact(rate: float) -> Fraction:
    """Return a frame rate as a short fraction, never 0: below 1 frame per second its period is rounded."""
    if rate < 1:
        return 1 / Fraction(1 / rate).limit_denominator(1001)
    return Fraction(rate).limit_denominator(1001)


def _made(packed: record.Record, pixels: cutting.Pixels, rate: float | None) -> Made:
    count = len(pixels.frames)
    gaps = np.diff(pixels.times)
    return Made(
        packed,
        seconds=count / rate if rate else 0.0,
        frames=count,
        short_side=min(pixels.frames.shape[1:3]),
        variable=len(gaps) > 0 and bool(gaps.max() > 1.5 * np.median(gaps)),
        still=count > 1 and bool(_moves(pixels.frames) < 1.0),
    )


def _moves(clip: UInt8[np.ndarray, "t h w 3"]) -> float:
    """Return the largest mean absolute difference of a few subsampled frames from the first (0 to 255)."""
    few = clip[np.linspace(0, len(clip) - 1, 5).astype(int), ::8, ::8].astype(np.float32)
    return float(np.abs(few - few[0]).mean(axis=(1, 2, 3)).max())
