"""Decode video files to RGB frames.

Decoding is sequential and single-threaded up to the last requested frame, because seeking returns wrong
frames on common files (discarded leading packets, H.264 in AVI). The exception is clips where whole groups of
pictures can be skipped safely, see `h264_groups`. Times are in seconds on the clock of the
video, see `clock.Clock`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.video import h264_groups, pixels
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import clock, geometry

Clip = UInt8[np.ndarray, "t height width 3"]
Video = container.Video
Limits = container.Limits
DEFAULT_LIMITS = Limits()


def decode(
    video: Video,
    *,
    start: float | None = None,
    end: float | None = None,
    short_side: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
) -> Clip:
    """Decode a video, or the part from start to end, to RGB frames; truncated files raise an error.

    Args:
        video: bytes of a video file, or its path.
        start: start time in seconds (inclusive), or None for the beginning.
        end: end time in seconds (exclusive), or None to decode (and verify) to the end of the file.
        short_side: length of the shorter side after bilinear resizing, in pixels, or None to keep the size.
        limits: limits on the file.
        name: name of the video in error messages; default its path.

    Returns:
        uint8 [t, height, width, 3], RGB, t >= 1, as shown (see `geometry`).

    Raises:
        errors.UserError: if the video is empty, unreadable, truncated, exceeds a limit, or has no frames
            between start and end.
    """
    frames = each_frame(video, None, start=start, end=end, short_side=short_side, limits=limits, name=name)
    return pixels.gathered(frames, None, limits, container.label_of(video, name))


def each_shown(
    video: Video,
    *,
    start: float | None,
    end: float | None,
    limits: Limits,
    name: str | None,
    timing: clock.Timing | None = None,
) -> Iterator[geometry.Shown]:
    """Decode the frames between start and end without converting them to pixels; see `each_frame`."""
    # Same selection as `container.inside`, for times that are not known in advance.
    for frame, seconds in container.decoded(video, limits, name, timing):
        if end is not None and seconds >= end - container.SLACK:
            break
        if start is None or seconds >= start - container.SLACK:
            yield frame


def decode_frames(
    video: Video,
    indices: Sequence[int],
    *,
    start: float | None = None,
    end: float | None = None,
    count: int | None = None,
    short_side: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
) -> Clip:
    """Decode selected frames of a video; stops after the last requested frame.

    Args:
        video: bytes of a video file, or its path.
        indices: frame indices, counted from `start`; in any order, repeats allowed, at least one.
        start: start time in seconds (inclusive), or None for the beginning.
        end: end time in seconds (exclusive), or None for the end.
        count: number of frames between start and end as found by decoding, if known; enables skipping groups
            of pictures without requested frames where this does not change the pixels.
        short_side: see `decode`.
        limits: limits on the file.
        name: see `decode`.

    Returns:
        uint8 [len(indices), height, width, 3], in the order of `indices`.

    Raises:
        errors.UserError: see `decode`; also if the video has too few frames.
    """
    frames = each_frame(
        video, indices, start=start, end=end, count=count, short_side=short_side, limits=limits, name=name
    )
    return pixels.gathered(frames, indices, limits, container.label_of(video, name))


def each_frame(
    video: Video,
    indices: Sequence[int] | None,
    *,
    start: float | None = None,
    end: float | None = None,
    count: int | None = None,
    short_side: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
    """Decode frames one at a time; memory use does not depend on the length of the video.

    Args:
        video: bytes of a video file, or its path.
        indices: see `decode_frames`; None for all frames.
        start: see `decode_frames`.
        end: see `decode_frames`.
        count: see `decode_frames`.
        short_side: see `decode`.
        limits: limits on the file.
        name: see `decode`.

    Yields:
        (frame index, uint8 [height, width, 3]), in ascending order, each index once.

    Raises:
        errors.UserError: see `decode_frames`; frames yielded before the error are valid.
    """
    label = container.label_of(video, name)
    convert, number = pixels.Converter(short_side, label), -1
    wanted = None if indices is None else {int(index) for index in indices}
    last = None if wanted is None else max(wanted)
    if wanted is not None and min(wanted) < 0:
        raise errors.UserError(f"{label}: expected frame indices of at least 0, got {min(wanted)}")
    if wanted is not None and count is not None and isinstance(video, bytes):
        found = h264_groups.chosen(video, wanted, count, (start, end), limits)
        if found is not None:
            yield from ((number, convert(found[number])) for number in sorted(found))
            return
    for number, frame in enumerate(each_shown(video, start=start, end=end, limits=limits, name=name)):
        if wanted is None or number in wanted:
            yield number, convert(frame)
        if number == last:
            break
    if number < (last or 0):
        what = f"frames from {start} to {end} s, got none; correct start and end"
        if last is not None:
            what = f"frame {last} (from 0), got {number + 1} frames; request fewer frames or drop the clip"
        raise errors.UserError(f"{label}: expected {what}")


def frame_times(
    video: Video, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> Float[np.ndarray, " t"]:
    """Return the timestamp of every frame, by decoding the whole file (metadata is not trusted).

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file.
        name: see `decode`.

    Returns:
        float64 [t], seconds on the clock of the video (see `clock.Clock`), strictly ascending; t >= 1 is the
            number of frames.

    Raises:
        errors.UserError: see `decode`.
    """
    return np.array([seconds for _, seconds in container.decoded(video, limits, name)], np.float64)


def count_frames(
    video: Video,
    *,
    start: float | None = None,
    end: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
) -> int:
    """Return the number of frames between start and end, by decoding without conversion; see `decode`."""
    return sum(1 for _ in each_shown(video, start=start, end=end, limits=limits, name=name))
