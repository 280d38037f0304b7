"""Cut the clips of a medium in one decoding pass, which holds only clips that have begun and not ended."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from prismlab.core import errors
from prismlab.data.corpus.inputs import media
from prismlab.data.video import frames as frames_module
from prismlab.data.video import pixels as pixels_module
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import clock

# Seconds that a clip may end after the video (rounding); beyond that the times belong to another file.
_OVERHANG = 0.5


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


def of_video(
    video: container.Video,
    name: str,
    short_side: int | None,
    limits: container.Limits,
    timing: clock.Timing | None = None,
) -> Frames:
    """Yield each frame of a video, see `Frames`.

    Args:
        video: bytes or path of a video file.
        name: name used in error messages.
        short_side: downscale to this shorter side in pixels; smaller videos keep their size.
        limits: limits on the file.
        timing: see `container.decoded`.
    """
    convert = pixels_module.Converter(short_side, name, enlarge=False)
    for frame, seconds in container.decoded(video, limits, name, timing):
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


def cut(
    stream: Frames,
    name: str,
    cuts: Sequence[media.Cut],
    limits: container.Limits,
    timing: clock.Timing | None = None,
) -> Iterator[tuple[int, Pixels | errors.UserError]]:
    """Yield each clip as soon as its last frame is decoded, as (index of the cut, frames or the error).

    Only frames of clips that have begun and not ended are held; clips that overlap share them. If a medium is
    corrupt, the clips before the corrupt part are yielded.

    Args:
        stream: frames with timestamps; read only as far as needed.
        name: name of the medium in error messages.
        cuts: clips, in any order, possibly overlapping; a cut with a fault gives that error.
        limits: max_decoded_bytes bounds the frames held; where they are more, the clip that began first gets
            an error.
        timing: of `stream`; told the seconds that the caller spends between two clips.
    """
    for each in _clips(stream, name, cuts, limits):
        began = time.monotonic()
        yield each
        del each  # not held while the next clip is put together
        if timing is not None:
            timing.away += time.monotonic() - began


def _clips(
    stream: Frames, name: str, cuts: Sequence[media.Cut], limits: container.Limits
) -> Iterator[tuple[int, Pixels | errors.UserError]]:
    waiting: dict[int, _Open] = {}
    for index, each in enumerate(cuts):
        fault = errors.UserError(f"{name}: {each.fault}") if each.fault else _span_fault(name, each)
        if fault is None:
            waiting[index] = _Open()
        else:
            yield index, fault
    held = _Held()
    last = gap = hold = 0.0
    try:
        for convert, seconds, stays in stream if waiting else ():
            gap, last, hold = (seconds - last) or gap, seconds, stays
            for index in [each for each in waiting if seconds >= _end(cuts[each]) - container.SLACK]:
                yield index, _made(name, cuts[index], held.clip(waiting.pop(index)), seconds)
            inside = [each for each in waiting if seconds >= (cuts[each].start or 0.0) - container.SLACK]
            if inside:
                held.add(convert(), seconds, [waiting[each] for each in inside], name)
            while held.bytes > limits.max_decoded_bytes:
                index = min(waiting, key=lambda each: waiting[each].first)
                held.drop(waiting.pop(index))
                yield index, _too_large(name, limits, "of pixels of clips at one moment, got more")
            if not waiting:
                return
    except errors.UserError as error:
        for index in waiting:
            yield index, error
        return
    for index in sorted(waiting):
        yield index, _made(name, cuts[index], held.clip(waiting.pop(index)), last + max(gap, hold))


@dataclasses.dataclass
class _Open:
    """Numbers of the frames of a clip that has not ended: first to end - 1."""

    first: float = math.inf
    end: int = 0


class _Held:
    """Frames of the clips that have not ended, each once; a frame is dropped with its last clip."""

    def __init__(self) -> None:
        self.bytes = 0
        self._frames: dict[int, tuple[np.ndarray, float]] = {}
        self._clips: dict[int, int] = {}  # number of a frame -> clips that hold it
        self._next = 0

    def add(self, pixels: np.ndarray, seconds: float, clips: Sequence[_Open], name: str) -> None:
        number, self._next = self._next, self._next + 1
        for each in clips:
            first = self._frames.get(int(each.first)) if each.end else None
            if first is not None and first[0].shape != pixels.shape:
                raise errors.UserError(f"{name}: expected frames of one size, got several")
            each.first, each.end = min(each.first, number), number + 1
        self._frames[number], self._clips[number] = (pixels, seconds), len(clips)
        self.bytes += pixels.nbytes

    def clip(self, ended: _Open) -> Pixels | None:
        """Return the frames of a clip, and drop those that no other clip holds; None for no frames."""
        if not ended.end:
            return None
        numbers = range(int(ended.first), ended.end)
        times = np.asarray([self._frames[number][1] for number in numbers], np.float64)
        found = np.empty((len(numbers), *self._frames[numbers[0]][0].shape), np.uint8)
        for place, number in enumerate(numbers):  # copied and dropped one by one: never held twice
            found[place] = self._frames[number][0]
            self._release(number)
        return Pixels(found, times)

    def drop(self, refused: _Open) -> None:
        """Drop the frames that only this clip holds."""
        for number in range(int(refused.first), refused.end) if refused.end else ():
            self._release(number)

    def _release(self, number: int) -> None:
        self._clips[number] -= 1
        if not self._clips[number]:
            self.bytes -= self._frames.pop(number)[0].nbytes
            del self._clips[number]


def _too_large(name: str, limits: container.Limits, found: str) -> errors.UserError:
    return errors.UserError(
        f"{name}: expected at most {limits.max_decoded_bytes >> 20} MiB {found}; shorten the clip, lower "
        "short_side or raise Limits.max_decoded_bytes"
    )


def _end(each: media.Cut) -> float:
    return float("inf") if each.end is None else each.end


def _span_fault(name: str, each: media.Cut) -> errors.UserError | None:
    if _end(each) <= (each.start or 0.0):
        return errors.UserError(f"{name}: expected end after start, got {each.start} to {each.end} s")
    return None


def _made(name: str, each: media.Cut, clip: Pixels | None, length: float) -> Pixels | errors.UserError:
    if (each.end is not None and each.end > length + _OVERHANG) or clip is None:
        end = "the end" if each.end is None else f"{each.end:g} s"
        return errors.UserError(
            f"{name}: expected frames from {each.start or 0.0:g} s to {end}, got a video of {length:.2f} s; "
            "correct the times"
        )
    return clip


def resample(pixels: Pixels, fps: float, name: str, limits: container.Limits) -> Pixels | errors.UserError:
    """Resample a clip to a constant frame rate; each tick takes the latest frame, as a player does.

    Args:
        pixels: a clip of constant or variable frame rate.
        fps: target frames per second.
        name: name of the medium in error messages.
        limits: max_decoded_bytes bounds the result.

    Returns:
        The clip, or the error if it would be too large: a long time between two frames is many ticks.
    """
    rate = pixels.fps
    if rate is None:
        return pixels
    span = float(pixels.times[-1] - pixels.times[0]) + 1 / rate
    count = max(1, round(span * fps))
    if count * pixels.frames[0].nbytes > limits.max_decoded_bytes:
        return _too_large(
            name, limits, f"of pixels of a clip at {fps:g} frames per second, got {count:,} frames"
        )
    ticks = pixels.times[0] + np.arange(count) / fps
    index = np.searchsorted(pixels.times, ticks + container.SLACK, side="right") - 1
    return Pixels(pixels.frames[index], ticks)
