"""The clock of a video: one presentation time in seconds for clips, windows, tables, subtitles and labels."""

import dataclasses
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from prismlab.data.video.presentation import rational

# Containers that store the order of decoding only; FFmpeg's presentation times are then guesses.
_DECODING_TIMES = ("avi",)
_REORDERED = 1  # seconds by which FFmpeg's time of the first packet may be late there
# Containers with a clock of 33 bits at 90 kHz. FFmpeg adds its range to times far below the first, although a
# second recording with a lower clock may follow the first; a clock that ran over has no long gap there.
_WRAPPING, _RANGE, _GAP = ("mpegts", "mpeg"), Fraction(1 << 33, 90_000), 60

FIELD_CODED, HIDDEN = "field-coded (a packet for each field)", "hidden or undecodable pictures"
LATE, STEPS_BACK = "starts late (sound before the first picture)", "clock steps back"
TRAITS = (FIELD_CODED, HIDDEN, LATE, STEPS_BACK)
_LATE = 0.2  # seconds of sound before the first picture that are usual


@dataclasses.dataclass
class Timing:
    """What was seen of the packets and the clock of a video while it was decoded.

    Args:
        frames: number of frames.
        packets: number of packets of the video track, without those that an edit list discards.
        start: time of the first frame in seconds.
        steps_back: how often a time did not advance.
        interlaced: some frame is interlaced.
        ended: the video was read to its end.
        away: seconds that the caller spent between frames on work that is not part of decoding, such as
            encoding; added by the caller and not counted in `Limits.seconds`.
    """

    frames: int = 0
    packets: int = 0
    start: float = 0.0
    steps_back: int = 0
    interlaced: bool = False
    ended: bool = False
    away: float = 0.0

    def traits(self) -> set[str]:
        """Return which of `TRAITS` apply."""
        found = {LATE} if self.start > _LATE else set()
        found |= {STEPS_BACK} if self.steps_back else set()
        if self.ended and self.packets > self.frames:
            fields = self.interlaced and self.packets >= 1.5 * self.frames
            found.add(FIELD_CODED if fields else HIDDEN)
        return found


class Clock:
    """Gives each decoded frame its time on the clock that a player shows.

    Zero is the earliest moment at which a player shows a picture or plays sound. A time in a table, a cue of
    subtitles, the borders of a window and the times of frames all mean this clock, in every container: large
    start times of broadcasts are subtracted, and a film whose pictures begin 2 s after its sound has its
    first frame at 2 s. Sound before time 0 of the file only prepares the decoder and is not played.

    Times ascend strictly in the order in which frames are shown. Where the times of a file step back, as in
    recordings that were joined, what follows continues one frame period after the frame before it. Where they
    step back by a frame or two (pictures stored out of order with times in order, as in AVI), frames follow
    the order of decoding from there on.

    Args:
        container: an open file.
        film: the video track that is decoded.
    """

    def __init__(self, container: InputContainer, film: VideoStream):
        self.steps_back = 0
        self._film, self._container = film, container
        names = container.format.name.split(",")
        self._by_decoding = any(name in _DECODING_TIMES for name in names)
        self._wraps = any(name in _WRAPPING for name in names)
        self._base = Fraction(0)  # seconds of a tick; times are counted in ticks, mostly whole ones
        self._period: Fraction | int = 0
        self._shift: Fraction | int = 0
        self._now: Fraction | int = 0
        self._long = 0
        self._first: int | None = None

    def packet(self, packet: Packet) -> None:
        """Note a packet of the film; the time of the first one counts."""
        if self._first is None:
            self._first = packet.dts if packet.pts is None else packet.pts

    def __call__(self, frame: av.VideoFrame) -> float:
        """Return the time of the next frame in seconds; to be called for every frame in order."""
        raw = frame.dts if self._by_decoding else frame.pts
        if not self._base:
            self._begin(frame, raw)
        else:
            now = self._now + self._period if raw is None else raw + self._shift
            if now <= self._now or (now - self._now > self._long and self._restarts(raw)):
                now = self._step(frame, raw, now)
            elif raw is not None:
                self._period = now - self._now
            self._now = now
        return float(self._now * self._base.numerator / self._base.denominator)

    def _begin(self, frame: av.VideoFrame, raw: int | None) -> None:
        film = self._film
        ticks = rational.exact(film.time_base)
        self._base = rational.exact(frame.time_base) or ticks or Fraction(1, 1000)
        self._period, self._long = 1 / (rate(film) * self._base), round(_GAP / self._base)
        # The decoder delays frames, so in order of decoding the first frame belongs to the first packet.
        # FFmpeg's time of that packet is off by pictures that it reorders, but counts empty chunks before it.
        start, long = film.start_time or 0, _REORDERED / (ticks or self._base)
        start = self._first if self._first is not None and self._first > start + long else start
        first = start * (ticks or self._base) / self._base
        if raw is not None and not self._by_decoding:
            first = Fraction(raw)
        self._now = first - zero(self._container, film, first * self._base) / self._base
        shift = Fraction(0) if raw is None else self._now - raw
        # Whole numbers, where possible, are several times faster.
        self._shift = shift.numerator if shift.denominator == 1 else shift
        self._now = self._now.numerator if self._now.denominator == 1 else self._now

    def _restarts(self, raw: int | None) -> bool:
        """Return whether a time after a long gap, past the range of the clock, is of another recording."""
        before = (self._now - self._shift) * self._base
        return self._wraps and raw is not None and before < _RANGE <= raw * self._base

    def _step(self, frame: av.VideoFrame, raw: int | None, now: Fraction | int) -> Fraction | int:
        """Return the time of a frame, in ticks, whose own time does not advance."""
        self.steps_back += 1
        if not self._by_decoding and 0 <= self._now - now <= 2 * self._period:
            self._by_decoding = True
            raw = frame.dts
        now = self._now + self._period
        if raw is not None:
            self._shift = now - raw
        return now


def zero(container: InputContainer, film: VideoStream, first: Fraction) -> Fraction:
    """Return the time on a file's own clock that is zero on the clock that a player shows; see `Clock`.

    Args:
        container: an open file.
        film: the video track that is decoded.
        first: time of the first frame on the file's own clock, in seconds.
    """
    sounds = [
        max(Fraction(0), each.start_time * base)
        for each in container.streams.audio
        if each.start_time is not None and (base := rational.exact(each.time_base)) is not None
    ]
    return min([first, *sounds])


def stays(frame: object) -> float:
    """Return for how many seconds the file says that a decoded frame stays; 0 if unknown."""
    base = rational.exact(frame.time_base) if isinstance(frame, av.VideoFrame) else None
    if not isinstance(frame, av.VideoFrame) or base is None:
        return 0.0
    return float(frame.duration * base)


def rate(film: VideoStream) -> Fraction:
    """Return the frame rate that a file declares; without one, FFmpeg's default of 25 per second."""
    return rational.exact(film.average_rate) or rational.exact(film.guessed_rate) or Fraction(25)
