"""Preprocess a video for the released models: T evenly spaced frames of the whole video or of each window.

Each frame is centre-cropped to a square and resized with the Lanczos filter. The official demos resize the
whole frame with this filter and reject non-square clips; for square clips the results are identical.

A file is decoded twice, first to get the time of every frame and then to read the selected frames: metadata
is often wrong, and this way at most one window is held in memory.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8

from prismlab.core import errors
from prismlab.data.video import decode, sampling
from prismlab.data.video.containers import container

# Enough for a long film at 60 frames per second; frames are decoded one at a time.
LIMITS = container.Limits(max_bytes=1 << 36, max_frames=1_000_000, seconds=4 * 3600.0)


@dataclasses.dataclass(frozen=True)
class Window:
    """A time window of a video and the frames sampled from it.

    Args:
        start: start of the window, in seconds on the clock of the video (`clock.Clock`).
        end: end of the window, in seconds on that clock.
        frames: number of video frames inside the window.
        indices: int64 [t], sampled frame indices, ascending; repeated if the window has fewer than t frames.
        times: float64 [t], time of each sampled frame, in seconds on that clock.
    """

    start: float
    end: float
    frames: int
    indices: Int[np.ndarray, " t"]
    times: Float[np.ndarray, " t"]


def plan(times: Float[np.ndarray, " n"], frames: int, stride_seconds: float | None = None) -> list[Window]:
    """Split a video into windows and sample frames from each.

    Args:
        times: float64 [n], time of every frame as returned by `decode.frame_times`.
        frames: t, number of frames per window.
        stride_seconds: length of the windows, which do not overlap; None for one window over the whole video.
            The last window may be shorter. Windows in which no frame starts (a held still) are skipped.

    Source: official release, demonstrations: np.linspace(0, n, num=t, endpoint=False, dtype=np.int32).
    """
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    whole = float(times[-1]) + period
    # 1e-6 s is shorter than any frame and larger than the rounding error of frame times.
    number = np.zeros(len(times), np.int64)
    if stride_seconds is not None:
        number = np.floor((times + 1e-6) / stride_seconds).astype(np.int64)
    edges = [0, *np.flatnonzero(np.diff(number)) + 1, len(times)]
    windows = []
    for first, last in itertools.pairwise(edges):
        indices = first + np.linspace(0, last - first, num=frames, endpoint=False, dtype=np.int32)
        start = float(times[0]) if stride_seconds is None else float(number[first]) * stride_seconds
        end = whole if stride_seconds is None else min(start + stride_seconds, whole)
        windows.append(Window(start, end, int(last - first), indices, times[indices]))
    return windows


def read(
    video: decode.Video,
    frames: int,
    resolution: int,
    stride_seconds: float | None = None,
    *,
    limits: container.Limits = LIMITS,
) -> Iterator[tuple[Window, UInt8[np.ndarray, "t r r 3"]]]:
    """Decode a video and yield its windows with their preprocessed frames.

    Args:
        video: bytes of a video file, or its path.
        frames: t, number of frames per window, 1 or more.
        resolution: r, height and width of the frames in pixels.
        stride_seconds: see `plan`.
        limits: limits on the file.

    Yields:
        (window, uint8 [t, r, r, 3]), RGB, rotated upright.

    Raises:
        errors.UserError: if the video is empty, unreadable, truncated or exceeds a limit; the whole file is
            checked before the first window is yielded.
    """
    if frames < 1 or resolution < 1 or (stride_seconds is not None and not 0 < stride_seconds < float("inf")):
        raise errors.UserError(
            f"expected frames >= 1, resolution >= 1 and stride_seconds > 0, got {frames}, {resolution} and "
            f"{stride_seconds}"
        )
    container.promise(video, limits)
    windows = plan(decode.frame_times(video, limits=limits), frames, stride_seconds)
    wanted = [int(index) for window in windows for index in window.indices]
    waiting = iter(windows)
    window = next(waiting)
    kept: dict[int, np.ndarray] = {}
    for number, pixels in decode.each_frame(video, wanted, limits=limits):
        kept[number] = sampling.centre_frame(pixels, resolution)
        if number == window.indices[-1]:
            yield window, np.stack([kept[int(index)] for index in window.indices])
            kept.clear()
            window = next(waiting, window)
