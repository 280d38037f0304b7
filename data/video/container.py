"""One video file, read safely: bounded, counted, and refused where it is damaged.

What a file claims about its number of frames is not trusted; what it holds is counted.
"""

import dataclasses
import io
import os
import pathlib
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float

from prismlab.core import errors

Video = bytes | str | os.PathLike[str]
# Times are quotients of integers: allow for their last digits, far less than a frame.
SLACK = 1e-6


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds on one video, so that a broken or hostile file cannot take the machine.

    Args:
        max_bytes: size of the encoded file.
        max_frames: frames decoded from one file.
        max_pixels: height times width of one frame, before any resize.
        seconds: wall-clock time of decoding one file.
    """

    max_bytes: int = 1 << 30
    max_frames: int = 20_000
    max_pixels: int = 4096 * 4096
    seconds: float = 120.0


def label_of(video: Video, name: str | None) -> str:
    """Return what messages call a video: its given name, its path, or "video in memory"."""
    if name is not None:
        return name
    return "video in memory" if isinstance(video, bytes) else str(video)


def _checked(video: Video, limits: Limits, label: str) -> io.BytesIO | str:
    if isinstance(video, bytes):
        size = len(video)
    else:
        path = pathlib.Path(video)
        if not path.is_file():
            raise errors.UserError(f"{label}: wanted a video file, found none; correct the path")
        size = path.stat().st_size
    if size == 0:
        raise errors.UserError(f"{label}: wanted a video, got 0 bytes; copy the file again or leave it out")
    if size > limits.max_bytes:
        raise errors.UserError(
            f"{label}: wanted at most {limits.max_bytes} bytes, got {size}; cut the video into shorter files"
        )
    # "file:" keeps a path that holds a colon from being read as a network address.
    return io.BytesIO(video) if isinstance(video, bytes) else f"file:{path}"


def decoded(video: Video, limits: Limits, name: str | None) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield frames with their seconds since the first, in the order of presentation.

    A caller that stops early closes the file; one that reads to the end learns whether the file is cut.

    Args:
        video: bytes of a video file, or its path.
        limits: bounds on the file.
        name: how messages call the video; default its path.

    Yields:
        (frame as decoded, seconds), one or more.

    Raises:
        errors.UserError: naming the video: empty, unreadable, beyond a limit or cut short.
    """
    label = label_of(video, name)
    source = _checked(video, limits, label)
    deadline = time.monotonic() + limits.seconds
    number, packets, first, now = 0, 0, Fraction(0), Fraction(0)
    try:
        # Titles need not be UTF-8, and are not read here.
        with av.open(source, "r", metadata_errors="replace") as container:
            if not container.streams.video:
                raise errors.UserError(f"{label}: wanted a video stream, got none; leave the file out")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise errors.UserError(
                    f"{label}: wanted video in a known coding, got an unknown one; "
                    "the file is damaged or needs converting to H.264"
                )
            _within(limits, label, stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                packets += packet.size > 0 and not packet.is_discard  # an edit list leaves some out
                for frame in packet.decode():
                    _within(limits, label, frame.width, frame.height)
                    if time.monotonic() > deadline:
                        raise errors.UserError(
                            f"{label}: wanted decoding within {limits.seconds} s, got {number} frames by "
                            "then; cut the video or raise Limits.seconds"
                        )
                    if number >= limits.max_frames:
                        raise errors.UserError(
                            f"{label}: wanted at most {limits.max_frames} frames, got more; "
                            "cut the video or raise Limits.max_frames"
                        )
                    if frame.pts is not None and frame.time_base is not None:
                        now = frame.pts * frame.time_base
                    elif number:
                        now += 1 / _rate(stream)
                    first = first if number else now
                    number += 1
                    yield frame, float(now - first)
            if number:
                _complete(label, container, stream, number, packets, now)
    except av.error.FFmpegError as error:
        raise errors.UserError(
            f"{label}: wanted a readable video, got '{error.strerror}' after {number} frames; "
            "the file is damaged or not a video: copy it again or leave it out"
        ) from error
    if number == 0:
        raise errors.UserError(f"{label}: wanted at least one frame, got none; leave the file out")


def inside(times: Float[np.ndarray, " t"], start: float | None, end: float | None) -> tuple[int, int]:
    """Return the frames between two moments, as `decode.decode` chooses them.

    Args:
        times: float64 [t], seconds since the first frame, ascending.
        start: first second wanted, or None.
        end: second before which to stop, or None.

    Returns:
        (first, last): frames first to last - 1 lie inside; equal where none does.
    """
    first = 0 if start is None else int(np.searchsorted(times, start - SLACK))
    last = len(times) if end is None else int(np.searchsorted(times, end - SLACK))
    return first, max(first, last)


def promise(video: Video, limits: Limits, name: str | None = None) -> None:
    """Refuse a file that says itself that it holds more frames than the limit, before decoding hours of it.

    Such a file is too long, or it is cut short: it is refused either way. One that cannot be opened passes,
    for `decoded` says more about it.

    Args:
        video: bytes of a video file, or its path.
        limits: bounds on the file.
        name: how messages call the video; default its path.

    Raises:
        errors.UserError: naming the video, its length and the limit.
    """
    label = label_of(video, name)
    try:
        with av.open(_checked(video, limits, label), "r", metadata_errors="replace") as container:
            if not container.streams.video:
                return
            stream = container.streams.video[0]
            # Where a file says how many frames it has, its mean rate may be anything (a slide show).
            frames = stream.frames or int(
                (container.duration or 0) / av.time_base * (stream.average_rate or 0)
            )
            hours = (container.duration or 0) / av.time_base / 3600
    except av.error.FFmpegError:
        return
    if frames > limits.max_frames * 1.05:
        raise errors.UserError(
            f"{label}: wanted at most {limits.max_frames:,} frames, got a video of {hours:.1f} hours that "
            f"says it has {frames:,}; cut it into parts"
        )


def _within(limits: Limits, label: str, width: int, height: int) -> None:
    if width * height > limits.max_pixels:
        raise errors.UserError(
            f"{label}: wanted frames of at most {limits.max_pixels} pixels, got {width}x{height}; "
            "shrink the video or raise Limits.max_pixels"
        )


def _rate(stream: VideoStream) -> Fraction:
    # A file without any rate plays at 25 frames a second, as FFmpeg has it.
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _complete(
    label: str, container: InputContainer, stream: VideoStream, number: int, packets: int, last: Fraction
) -> None:
    # A cut WebM or MPEG decodes without an error, so compare with what it promised. A few frames may be
    # missing from a sound file (discarded leading packets), and a promised COUNT is wrong for variable frame
    # rates: compare with the packets that came, and the last frame's time with the promised duration.
    if packets - number > max(3, 0.05 * packets):
        raise errors.UserError(
            f"{label}: wanted about {packets} frames, got {number}: the video is damaged; leave it out"
        )
    rate = _rate(stream)
    if stream.duration is not None and stream.time_base is not None:
        promised = (stream.start_time or 0) * stream.time_base + stream.duration * stream.time_base
    elif container.duration is not None and len(container.streams) == 1:
        promised = Fraction(container.duration + (container.start_time or 0), av.time_base)
    else:
        return
    got = last + 1 / rate
    if promised - got > max(3 / rate, promised / 20):
        raise errors.UserError(
            f"{label}: wanted {float(promised):.2f} s of video, got {float(got):.2f} s: the file is cut "
            "short; copy it again or leave it out"
        )
