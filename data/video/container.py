"""Open and decode video files safely: limits on size and time, and detection of damaged or truncated files.

Frame counts from file metadata are not trusted; frames are counted by decoding.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float

from prismlab.core import errors
from prismlab.data.video import container_crop, geometry, opening, pictures, tracks

Limits = opening.Limits
Video = opening.Video
label_of = opening.label_of
# Tolerance in seconds for rounding of frame times; far less than one frame.
SLACK = 1e-6


def decoded(video: Video, limits: Limits, name: str | None) -> Iterator[tuple[geometry.Shown, float]]:
    """Decode a video and yield frames with their timestamps, in presentation order.

    Truncation is detected only if the caller reads to the end. Stopping early closes the file.

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file.
        name: name of the video in error messages; default its path.

    Yields:
        (decoded frame with its geometry, seconds since the first frame), at least one.

    Raises:
        errors.UserError: if the video is empty, unreadable, truncated or exceeds a limit.
    """
    label = label_of(video, name)
    picture = pictures.inside(video, limits, label)
    if picture is not None:
        yield geometry.picture(pictures.read(picture, limits, label).pixels), 0.0
        return
    number, packets, first, now = 0, 0, Fraction(0), Fraction(0)
    try:
        with opening.opened(video, limits, label) as (container, guarded):
            stream = tracks.film(container, label)
            _within(limits, label, stream.codec_context.width, stream.codec_context.height)
            crop = container_crop.margins(guarded.file, container, stream)
            display = geometry.Display(stream, crop, limits.max_pixels, label)
            for packet in container.demux(stream):
                packets += packet.size > 0 and not packet.is_discard  # edit lists can discard packets
                frames = display.decoder.decode(packet)
                display.read(packet)
                for frame in frames:
                    _within(limits, label, frame.width, frame.height)
                    guarded.check(number)
                    if number >= limits.max_frames:
                        raise errors.UserError(
                            f"{label}: expected at most {limits.max_frames} frames, got more; "
                            "split the video or raise Limits.max_frames"
                        )
                    if frame.pts is not None and frame.time_base is not None:
                        now = frame.pts * frame.time_base
                    elif number:
                        now += 1 / _rate(stream)
                    first = first if number else now
                    number += 1
                    yield display.show(frame), float(now - first)
            guarded.check(number)
            if number:
                _complete(label, container, stream, number, packets, now)
    except av.error.FFmpegError as error:
        raise errors.UserError(
            f"{label}: expected a readable video, got '{error.strerror}' after {number} frames; "
            "the file is damaged or not a video: copy it again or drop it"
        ) from error
    if number == 0:
        raise errors.UserError(f"{label}: expected at least one frame, got none; drop the file")


def inside(times: Float[np.ndarray, " t"], start: float | None, end: float | None) -> tuple[int, int]:
    """Return the index range of frames between two times; same selection as `decode.decode`.

    Args:
        times: float64 [t], seconds since the first frame, ascending.
        start: start time in seconds (inclusive), or None for the beginning.
        end: end time in seconds (exclusive), or None for the end.

    Returns:
        (first, last): frames first to last - 1 are inside; first == last if there are none.
    """
    first = 0 if start is None else int(np.searchsorted(times, start - SLACK))
    last = len(times) if end is None else int(np.searchsorted(times, end - SLACK))
    return first, max(first, last)


def promise(video: Video, limits: Limits, name: str | None = None) -> None:
    """Check the frame count in a file's metadata against the limit, before decoding hours of video.

    Such a file is either too long or truncated, and is rejected in both cases. Files that cannot be opened
    pass, because `decoded` reports a more specific error.

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file.
        name: name of the video in error messages; default its path.

    Raises:
        errors.UserError: if the metadata declares more frames than the limit.
    """
    label = label_of(video, name)
    if pictures.inside(video, limits, label) is not None:
        return
    try:
        with opening.opened(video, limits, label) as (container, _):
            stream = tracks.film(container, label)
            # Prefer the declared frame count: the mean rate can be meaningless (e.g. a slide show).
            frames = stream.frames or int(
                (container.duration or 0) / av.time_base * (stream.average_rate or 0)
            )
            hours = (container.duration or 0) / av.time_base / 3600
    except av.error.FFmpegError:
        return
    if frames > limits.max_frames * 1.05:
        raise errors.UserError(
            f"{label}: expected at most {limits.max_frames:,} frames, got a video of {hours:.1f} hours with "
            f"{frames:,} frames in its metadata; split it"
        )


def _within(limits: Limits, label: str, width: int, height: int) -> None:
    if width * height > limits.max_pixels:
        raise errors.UserError(
            f"{label}: expected frames of at most {limits.max_pixels} pixels, got {width}x{height}; "
            "downscale the video or raise Limits.max_pixels"
        )


def _rate(stream: VideoStream) -> Fraction:
    # Default of FFmpeg for files without a frame rate: 25 frames per second.
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _complete(
    label: str, container: InputContainer, stream: VideoStream, number: int, packets: int, last: Fraction
) -> None:
    # A truncated WebM or MPEG decodes without an error. Compare the number of frames with the number of
    # packets, and the time of the last frame with the declared duration. A few frames may be missing from an
    # intact file (discarded leading packets), and declared frame counts are wrong for variable frame rates.
    if packets - number > max(3, 0.05 * packets):
        raise errors.UserError(
            f"{label}: expected about {packets} frames, got {number}: the video is damaged; drop it"
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
            f"{label}: expected {float(promised):.2f} s of video, got {float(got):.2f} s: the file is "
            "truncated; copy it again or drop it"
        )
