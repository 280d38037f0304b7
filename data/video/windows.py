"""A video as the released models take it: T frames spread over the whole, or over one stretch after another.

Each frame is cut to its centre square and resized with the Lanczos filter. The release's demonstrations
resize the whole frame with that filter and refuse clips that are not square: square clips come out alike.

A file is decoded twice, once to count and time its frames and once to take the chosen ones: what a file
claims about itself is often wrong, and memory never holds more than one stretch.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from prismlab.core import errors
from prismlab.data.video import container, decode

# A long film at 60 frames a second; one frame is held in memory at a time.
LIMITS = container.Limits(max_bytes=1 << 36, max_frames=1_000_000, seconds=4 * 3600.0)


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of a video and the frames that stand for it.

    Args:
        start: seconds since the first frame.
        end: seconds at which it ends.
        frames: frames of the video inside it.
        indices: int64 [t], the chosen frames, ascending; repeated where the stretch has fewer than t.
        times: float64 [t], when each of them is shown, in seconds since the first frame.
    """

    start: float
    end: float
    frames: int
    indices: Int[np.ndarray, " t"]
    times: Float[np.ndarray, " t"]


def plan(times: Float[np.ndarray, " n"], frames: int, stride_seconds: float | None = None) -> list[Window]:
    """Choose the frames of a video.

    Args:
        times: float64 [n], what `decode.frame_times` gave.
        frames: t, frames of each window.
        stride_seconds: length of a window and distance between two; None means one window, the whole video.
            The last one may be shorter; a stretch in which no frame begins (a still picture that is held)
            gives none.

    Source: official release, demonstrations: np.linspace(0, n, num=t, endpoint=False, dtype=np.int32).
    """
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    whole = float(times[-1]) + period
    # A millionth of a second is less than any frame, and more than the last digit of a quotient of integers.
    number = np.zeros(len(times), np.int64)
    if stride_seconds is not None:
        number = np.floor((times + 1e-6) / stride_seconds).astype(np.int64)
    edges = [0, *np.flatnonzero(np.diff(number)) + 1, len(times)]
    windows = []
    for first, last in itertools.pairwise(edges):
        indices = first + np.linspace(0, last - first, num=frames, endpoint=False, dtype=np.int32)
        start = 0.0 if stride_seconds is None else float(number[first]) * stride_seconds
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
    """Yield the windows of a video with their frames.

    Args:
        video: bytes of a video file, or its path.
        frames: t, frames of each window, 1 or more.
        resolution: r, side of a frame in pixels.
        stride_seconds: see `plan`.
        limits: bounds on the file.

    Yields:
        (window, uint8 [t, r, r, 3]), RGB, upright.

    Raises:
        errors.UserError: naming the video: empty, unreadable, beyond a limit or cut short; the whole file is
            checked before the first window comes.
    """
    if frames < 1 or resolution < 1 or (stride_seconds is not None and not 0 < stride_seconds < float("inf")):
        raise errors.UserError(
            f"want frames >= 1, resolution >= 1 and stride_seconds > 0, got {frames}, {resolution} and "
            f"{stride_seconds}"
        )
    container.promise(video, limits)
    windows = plan(decode.frame_times(video, limits=limits), frames, stride_seconds)
    wanted = [int(index) for window in windows for index in window.indices]
    waiting = iter(windows)
    window = next(waiting)
    kept: dict[int, np.ndarray] = {}
    for number, pixels in decode.each_frame(video, wanted, limits=limits):
        kept[number] = square(pixels, resolution)
        if number == window.indices[-1]:
            yield window, np.stack([kept[int(index)] for index in window.indices])
            kept.clear()
            window = next(waiting, window)


def square(pixels: UInt8[np.ndarray, "h w 3"], resolution: int) -> UInt8[np.ndarray, "r r 3"]:
    """Return the centre square of a frame at a resolution (Lanczos); the identity at equal size."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = pixels[top : top + side, left : left + side]
    if side == resolution:
        return np.ascontiguousarray(cut)
    return np.asarray(Image.fromarray(cut).resize((resolution, resolution), Image.Resampling.LANCZOS))
