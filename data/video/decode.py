"""Encoded video to frames.

Decoding is sequential up to the last wanted frame, with one thread: seeking returns wrong frames on ordinary
files (discarded leading packets, H.264 in AVI). Clips whose coding allows it safely are an exception, see
`groups`. Times are seconds since the first frame.
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
    """Decode a video, or the part of it from start to end; refuse a file that is visibly cut.

    Args:
        video: bytes of a video file, or its path.
        start: first second wanted, or None for the beginning.
        end: second before which to stop, or None to read (and check) the file to its end.
        short_side: resize so that the shorter side has this many pixels (bilinear), or None to keep the size.
        limits: bounds on the file.
        name: how messages call the video; default its path.

    Returns:
        uint8 [t, height, width, 3], RGB, t of 1 or more, turned upright as the file's rotation says.

    Raises:
        errors.UserError: naming the video: empty, unreadable, beyond a limit, cut short, or without a frame
            between start and end.
    """
    convert = Converter(short_side, container.label_of(video, name))
    kept = [convert(frame) for frame in _part(video, start, end, limits, name)]
    if not kept:
        raise errors.UserError(
            f"{container.label_of(video, name)}: wanted frames from {start} to {end} s, got none; "
            "correct start and end"
        )
    return np.stack(kept)


def _part(
    video: Video, start: float | None, end: float | None, limits: Limits, name: str | None
) -> Iterator[av.VideoFrame]:
    # `container.inside` says the same of times that are known already.
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
    """Decode chosen frames, reading from the beginning and stopping after the last one wanted.

    Args:
        video: bytes of a video file, or its path.
        indices: frame numbers, 0 being the first from `start` on; in any order, repeats allowed, one or more.
        start: first second of the part that is counted, or None for the beginning.
        end: second before which that part ends, or None.
        count: frames of that part where somebody has counted them by decoding: then what lies between the
            wanted ones is left out where that changes no pixel.
        short_side: as in `decode`.
        limits: bounds on the file.
        name: as in `decode`.

    Returns:
        uint8 [len(indices), height, width, 3], in the order of `indices`.

    Raises:
        errors.UserError: naming the video, as in `decode`, and where it has too few frames.
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
    """Yield chosen frames with their numbers, one at a time and ascending, each once.

    Args:
        video: bytes of a video file, or its path.
        indices: as in `decode_frames`, like the next two.
        start: see there.
        end: see there.
        short_side: as in `decode`.
        limits: bounds on the file.
        name: as in `decode`.

    Yields:
        (its number, uint8 [height, width, 3]); memory holds one frame, however long the video.

    Raises:
        errors.UserError: as `decode_frames` does; frames already given are right nevertheless.
    """
    wanted = {int(index) for index in indices}
    assert wanted, "at least one frame"
    assert min(wanted) >= 0, indices
    convert, number = Converter(short_side, container.label_of(video, name)), -1
    for number, frame in enumerate(_part(video, start, end, limits, name)):
        if number in wanted:
            yield number, convert(frame)
        if number == max(wanted):
            break
    if number < max(wanted):
        raise errors.UserError(
            f"{container.label_of(video, name)}: wanted frame {max(wanted)} (from 0), got {number + 1} "
            "frames; ask for fewer frames or leave the clip out"
        )


def frame_times(
    video: Video, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> Float[np.ndarray, " t"]:
    """Return when each decoded frame is shown; its length is the number of frames, whatever the file claims.

    Args:
        video: bytes of a video file, or its path.
        limits: bounds on the file.
        name: as in `decode`.

    Returns:
        float64 [t], seconds since the first frame, ascending; t is 1 or more.

    Raises:
        errors.UserError: as `decode` does.
    """
    return np.array([seconds for _, seconds in container.decoded(video, limits, name)], np.float64)


def count_frames(video: Video, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> int:
    """Return the number of frames that decoding gives, 1 or more; the rest is as in `frame_times`."""
    return len(frame_times(video, limits=limits, name=name))


class Converter:
    """Turns decoded frames into upright RGB arrays of one size, even where the stream changes its size.

    Args:
        short_side: pixels of the shorter side, or None to keep the size.
        label: how messages call the video.
        enlarge: whether a smaller video is made larger; else it keeps its size.
    """

    def __init__(self, short_side: int | None, label: str, *, enlarge: bool = True):
        self._short_side, self._label, self._size = short_side, label, (0, 0)
        self._enlarge = enlarge
        self._reformatter = reformatter.VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        """Return the pixels of one frame."""
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
                f"{self._label}: wanted pixels that turn into RGB, got {frame.format.name} ('{error}'); "
                "convert the video to H.264 or leave it out"
            ) from error
        # The file's rotation counts counterclockwise, as rot90 does.
        pixels, quarters = image.to_ndarray(), round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels
