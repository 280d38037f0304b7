"""Cut all clips of a medium in one decoding pass, which stops after the last clip."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.corpus.inputs import media
from prismlab.data.video import clock, container
from prismlab.data.video import frames as frames_module
from prismlab.data.video import pixels as pixels_module

# Seconds that a clip may end after the video (rounding); beyond that the times belong to another file.
_OVERHANG = 0.5
MOST_BYTES = 2 << 30  # of decoded pixels per clip


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Decoded frames of one clip.

    Args:
        frames: uint8 [t, h, w, 3], RGB with rotation applied, t >= 1.
        times: float64 [t], seconds on the clock of the video (`clock.Clock`).
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    times: Float[np.ndarray, " t"]

    @property
    def fps(self) -> float | None:
        """Mean frames per second, or None for a single frame."""
        span = float(self.times[-1] - self.times[0])
        return (len(self.times) - 1) / span if span > 0 else None


# Function that returns the pixels, time in seconds, seconds that the file says the frame stays (0: unknown).
Frames = Iterator[tuple[Callable[[], np.ndarray], float, float]]


def of_video(video: container.Video, name: str, short_side: int | None, limits: container.Limits) -> Frames:
    """Yield each frame of a video, see `Frames`.

    Args:
        video: bytes or path of a video file.
        name: name used in error messages.
        short_side: downscale to this shorter side in pixels; smaller videos keep their size.
        limits: limits on the file.
    """
    convert = pixels_module.Converter(short_side, name, enlarge=False)
    for frame, seconds in container.decoded(video, limits, name):
        yield functools.partial(convert, frame), seconds, clock.stays(frame.frame)


def of_pictures(
    pictures: Sequence[bytes], name: str, short_side: int | None, limits: container.Limits, fps: float
) -> Frames:
    """Yield each image file as a frame; see `of_video`."""
    if len(pictures) > limits.max_frames:
        raise errors.UserError(f"{name}: expected at most {limits.max_frames} frames, got {len(pictures)}")
    for index, data in enumerate(pictures):
        label = f"{name}, frame {index}" if len(pictures) > 1 else name
        yield (
            functools.partial(
                frames_module.picture, data, short_side=short_side, limits=limits, name=label, enlarge=False
            ),
            index / fps,
            0.0,
        )


def cut(stream: Frames, name: str, cuts: Sequence[media.Cut]) -> list[Pixels | errors.UserError]:
    """Return the frames of each clip, or the error.

    If a medium is corrupt, the clips before the corrupt part are returned.

    Args:
        stream: frames with timestamps; read only as far as needed.
        name: name of the medium in error messages.
        cuts: clips, in any order, possibly overlapping; a cut with a fault gives that error.
    """
    found: list[Pixels | errors.UserError | None] = [
        errors.UserError(f"{name}: {each.fault}") if each.fault else _span_fault(name, each) for each in cuts
    ]
    waiting = {index for index, each in enumerate(found) if each is None}
    frames: dict[int, list[np.ndarray]] = {index: [] for index in waiting}
    times: dict[int, list[float]] = {index: [] for index in waiting}
    last = gap = hold = 0.0
    try:
        for convert, seconds, stays in stream if waiting else ():
            gap, last, hold = (seconds - last) or gap, seconds, stays
            pixels = None
            for index in sorted(waiting):
                if seconds >= _end(cuts[index]) - container.SLACK:
                    found[index] = _made(name, cuts[index], frames.pop(index), times.pop(index), seconds)
                    waiting.discard(index)
                elif seconds >= (cuts[index].start or 0.0) - container.SLACK:
                    pixels = convert() if pixels is None else pixels
                    if frames[index] and frames[index][0].shape != pixels.shape:
                        raise errors.UserError(f"{name}: expected frames of one size, got several")
                    if (len(frames[index]) + 1) * pixels.nbytes > MOST_BYTES:
                        found[index] = errors.UserError(
                            f"{name}: expected at most {MOST_BYTES >> 20} MiB of pixels per clip, got more; "
                            "shorten the clip or lower short_side"
                        )
                        frames.pop(index)
                        waiting.discard(index)
                        continue
                    frames[index].append(pixels)
                    times[index].append(seconds)
            if not waiting:
                break
    except errors.UserError as error:
        return [error if each is None else each for each in found]
    for index in sorted(waiting):
        found[index] = _made(name, cuts[index], frames[index], times[index], last + max(gap, hold))
    return [each for each in found if each is not None]


def _end(each: media.Cut) -> float:
    return float("inf") if each.end is None else each.end


def _span_fault(name: str, each: media.Cut) -> errors.UserError | None:
    if _end(each) <= (each.start or 0.0):
        return errors.UserError(f"{name}: expected end after start, got {each.start} to {each.end} s")
    return None


def _made(
    name: str, each: media.Cut, frames: list[np.ndarray], times: list[float], length: float
) -> Pixels | errors.UserError:
    if (each.end is not None and each.end > length + _OVERHANG) or not frames:
        end = "the end" if each.end is None else f"{each.end:g} s"
        return errors.UserError(
            f"{name}: expected frames from {each.start or 0.0:g} s to {end}, got a video of {length:.2f} s; "
            "correct the times"
        )
    return Pixels(np.stack(frames), np.asarray(times, np.float64))


def resample(pixels: Pixels, fps: float) -> Pixels:
    """Resample a clip to a constant frame rate; each tick takes the latest frame, as a player does.

    Args:
        pixels: a clip of constant or variable frame rate.
        fps: target frames per second.
    """
    rate = pixels.fps
    if rate is None:
        return pixels
    span = float(pixels.times[-1] - pixels.times[0]) + 1 / rate
    ticks = pixels.times[0] + np.arange(max(1, round(span * fps))) / fps
    index = np.searchsorted(pixels.times, ticks + container.SLACK, side="right") - 1
    return Pixels(pixels.frames[index], ticks)
