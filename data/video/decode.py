"""Decode video files to RGB frames.

Decoding is sequential and single-threaded up to the last requested frame, because seeking returns wrong
frames on common files (discarded leading packets, H.264 in AVI). The exception is clips where whole groups of
pictures can be skipped safely, see `h264_groups`. Times are in seconds since the first frame.
"""

from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video import reformatter
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.video import container, h264_groups

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
        uint8 [t, height, width, 3], RGB, t >= 1, rotated upright according to the file's rotation metadata.

    Raises:
        errors.UserError: if the video is empty, unreadable, truncated, exceeds a limit, or has no frames
            between start and end.
    """
    convert = Converter(short_side, container.label_of(video, name))
    kept = [convert(frame) for frame in _part(video, start, end, limits, name)]
    if not kept:
        raise errors.UserError(
            f"{container.label_of(video, name)}: expected frames from {start} to {end} s, got none; "
            "correct start and end"
        )
    return np.stack(kept)


def _part(
    video: Video, start: float | None, end: float | None, limits: Limits, name: str | None
) -> Iterator[av.VideoFrame]:
    # Same selection as `container.inside`, for times that are not known in advance.
    for frame, seconds in container.decoded(video, limits, name):
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
    found = None
    if count is not None and isinstance(video, bytes):
        found = h264_groups.chosen(video, {int(index) for index in indices}, count, (start, end), limits)
    if found is None:
        pixels = dict(
            each_frame(video, indices, start=start, end=end, short_side=short_side, limits=limits, name=name)
        )
    else:
        convert = Converter(short_side, container.label_of(video, name))
        pixels = {number: convert(found[number]) for number in sorted(found)}
    return np.stack([pixels[int(index)] for index in indices])


def each_frame(
    video: Video,
    indices: Sequence[int],
    *,
    start: float | None = None,
    end: float | None = None,
    short_side: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
    """Decode selected frames one at a time; memory use does not depend on the length of the video.

    Args:
        video: bytes of a video file, or its path.
        indices: see `decode_frames`.
        start: see `decode_frames`.
        end: see `decode_frames`.
        short_side: see `decode`.
        limits: limits on the file.
        name: see `decode`.

    Yields:
        (frame index, uint8 [height, width, 3]), in ascending order, each index once.

    Raises:
        errors.UserError: see `decode_frames`; frames yielded before the error are valid.
    """
    wanted = {int(index) for index in indices}
    assert wanted, "expected at least one frame index"
    assert min(wanted) >= 0, indices
    convert, number = Converter(short_side, container.label_of(video, name)), -1
    for number, frame in enumerate(_part(video, start, end, limits, name)):
        if number in wanted:
            yield number, convert(frame)
        if number == max(wanted):
            break
    if number < max(wanted):
        raise errors.UserError(
            f"{container.label_of(video, name)}: expected frame {max(wanted)} (from 0), got {number + 1} "
            "frames; request fewer frames or drop the clip"
        )


def frame_times(
    video: Video, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> Float[np.ndarray, " t"]:
    """Return the timestamp of every frame, by decoding the whole file (metadata is not trusted).

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file.
        name: see `decode`.

    Returns:
        float64 [t], seconds since the first frame, ascending; t >= 1 is the number of frames.

    Raises:
        errors.UserError: see `decode`.
    """
    return np.array([seconds for _, seconds in container.decoded(video, limits, name)], np.float64)


def count_frames(video: Video, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> int:
    """Return the number of frames, by decoding the whole file; see `frame_times`."""
    return len(frame_times(video, limits=limits, name=name))


class Converter:
    """Converts decoded frames to upright RGB arrays of a fixed size, even if the stream changes resolution.

    Args:
        short_side: length of the shorter side in pixels, or None to keep the size.
        label: name of the video in error messages.
        enlarge: upscale smaller videos; if False they keep their size.
    """

    def __init__(self, short_side: int | None, label: str, *, enlarge: bool = True):
        self._short_side, self._label, self._size = short_side, label, (0, 0)
        self._enlarge = enlarge
        self._reformatter = reformatter.VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Convert one frame to uint8 RGB pixels."""
        if self._size == (0, 0):
            shorter = min(frame.width, frame.height)
            side = shorter if self._short_side is None else self._short_side
            side = side if self._enlarge else min(side, shorter)
            self._size = (
                max(1, round(frame.width * side / shorter)),
                max(1, round(frame.height * side / shorter)),
            )
        try:
            image = self._reformatter.reformat(
                frame,
                width=self._size[0],
                height=self._size[1],
                format="rgb24",
                interpolation=reformatter.Interpolation.BILINEAR,
                threads=1,
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise errors.UserError(
                f"{self._label}: expected pixels convertible to RGB, got {frame.format.name} ('{error}'); "
                "convert the video to H.264 or drop it"
            ) from error
        # The rotation metadata is counterclockwise, like np.rot90.
        pixels, quarters = image.to_ndarray(), round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
