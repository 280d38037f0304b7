"""Open and decode video files safely: limits on size and time, and detection of damaged or truncated files.

Frame counts from file metadata are not trusted; frames are counted by decoding.
"""

from collections.abc import Iterator

import av
import numpy as np
from jaxtyping import Float

from prismlab.core import errors
from prismlab.data.video.containers import container_crop, damage, opening, pictures, tracks
from prismlab.data.video.presentation import clock, geometry, rational

Limits = opening.Limits
Video = opening.Video
label_of = opening.label_of
# Tolerance in seconds for rounding of frame times; far less than one frame.
SLACK = 1e-6


def decoded(
    video: Video, limits: Limits, name: str | None, timing: clock.Timing | None = None
) -> Iterator[tuple[geometry.Shown, float]]:
    """Decode a video and yield frames with their timestamps, in presentation order.

    Truncation is detected only if the caller reads to the end. Stopping early closes the file.

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file.
        name: name of the video in error messages; default its path.
        timing: filled in while frames are read.

    Yields:
        (decoded frame with its geometry, seconds on the clock of the video, see `clock.Clock`), at least one,
        with times that ascend strictly.

    Raises:
        errors.UserError: if the video is empty, unreadable, truncated or exceeds a limit.
    """
    label = label_of(video, name)
    picture = pictures.inside(video, limits, label)
    if picture is not None:
        yield geometry.picture(pictures.read(picture, limits, label).pixels), 0.0
        return
    timing = clock.Timing() if timing is None else timing
    number = 0
    try:
        with opening.opened(video, limits, label) as (container, guarded):
            stream = tracks.film(container, label)
            _within(limits, label, stream.codec_context.width, stream.codec_context.height)
            crop = container_crop.margins(guarded.file, container, stream)
            display = geometry.Display(stream, crop, limits.max_pixels, label)
            received, time_of = damage.Received(container, stream), clock.Clock(container, stream)
            for packet in container.demux():
                guarded.check(number)
                received.packet(packet)
                if packet.stream.index != stream.index:  # not stream_index: it is 0 in the last packets
                    continue
                time_of.packet(packet)
                timing.packets += packet.size > 0 and not packet.is_discard
                frames = display.decoder.decode(packet)
                display.read(packet)
                for frame in frames:
                    _within(limits, label, frame.width, frame.height)
                    if number >= limits.max_frames:
                        raise errors.UserError(
                            f"{label}: expected at most {limits.max_frames} frames, got more; "
                            "split the video or raise Limits.max_frames"
                        )
                    received.frame(frame)
                    number += 1
                    now = time_of(frame)
                    timing.start = now if number == 1 else timing.start
                    timing.frames, timing.steps_back = number, time_of.steps_back
                    timing.interlaced |= frame.interlaced_frame
                    yield display.show(frame), now
                    guarded.excuse(timing.away)
            guarded.check(number)
            received.check(guarded, label)
            timing.ended = True
            guarded.check(number)
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
        times: float64 [t], seconds on the clock of the video, ascending.
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
                (container.duration or 0) / av.time_base * (rational.exact(stream.average_rate) or 0)
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
