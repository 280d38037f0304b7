"""Detect cut and damaged files: compare what the container promises, over all streams, with what came."""

from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from prismlab.core import errors
from prismlab.data.video.containers import framing
from prismlab.data.video.presentation import clock, rational

# Containers that store a duration. In others FFmpeg computes it from the end of the file or from the bit
# rate, which promises nothing.
_PROMISE = ("mov", "matroska", "avi", "flv", "asf", "mxf")
# Those that store a duration for each stream; in others FFmpeg gives each stream that of the file.
_EACH_STREAM = ("mov", "avi", "mxf")
# Those whose duration counts from the first packet; in others it counts from time 0.
_FROM_START = ("mov", "avi")
_LEAST_PICTURE = 16  # bytes of a packet; fewer say "as before" in MPEG-4, which shows no frame
_SOUND_SLACK = Fraction(1, 4)  # seconds that the stored length of sound may be off: what the encoder pads
_KINDS = ("video", "audio", "subtitle")


class Received:
    """Record of what came from a file while it was read to its end.

    Packets and frames are different things: two fields in two packets make one frame, some packets hold
    pictures that are never shown, pictures before the first key frame cannot be decoded, and a frame may stay
    for any time. None of these is a fault. A file is damaged if

    - a unit of the container (box, element, page, packet) does not end where it says (`framing`), or
    - another recording follows, of which FFmpeg would show nothing (`framing.Framing.joined`), or
    - its streams end before the duration that it stores, although not all of its media was read, or
    - a run of packets between two frames, or after the last one, gave no frame at all.

    Sound that outlasts the picture is no fault, as the duration of a file is that of its longest stream.

    Args:
        container: an open file.
        film: the video track that is decoded.
    """

    def __init__(self, container: InputContainer, film: VideoStream):
        self._container, self._film = container, film
        self._packets: list[int] = []
        self._frames: list[int] = []
        self._bytes_read = 0
        self._ends: dict[int, int] = {}  # by stream, in its ticks
        self._shown = {each.index for each in container.streams if each.type in _KINDS}
        # A packet that does not say how long it lasts lasts for one frame.
        base = rational.exact(film.time_base) or Fraction(1, 1000)
        self._length = max(1, round(1 / (clock.rate(film) * base)))

    def packet(self, packet: Packet) -> None:
        """Note a packet of any stream."""
        size, index = packet.size, packet.stream_index
        if not size:
            return
        if packet.pos is not None:
            self._bytes_read = max(self._bytes_read, packet.pos + size)
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None or index not in self._shown:
            return
        length = packet.duration or 0
        if index == self._film.index:
            length = length or self._length
            if size > _LEAST_PICTURE and not packet.is_discard:  # edit lists can discard packets
                self._packets.append(ticks)
        self._ends[index] = max(self._ends.get(index, ticks), ticks + length)

    def _end(self, index: int) -> Fraction:
        """Return the end of a stream in seconds, -1 if it has no packets."""
        base = rational.exact(self._container.streams[index].time_base)
        return self._ends[index] * base if index in self._ends and base else Fraction(-1)

    def frame(self, frame: av.VideoFrame) -> None:
        """Note a decoded frame."""
        if frame.pts is not None:
            self._frames.append(frame.pts)

    def check(self, file: framing.Readable, label: str) -> None:
        """Compare with the promise of the container; to be called after the last packet.

        Args:
            file: the file; its position is changed.
            label: name of the video in error messages.

        Raises:
            errors.UserError: if the file is cut or damaged.
        """
        units = framing.framing(file, self._container.format.name)
        if units.whole is False:
            seconds = max(float(self._end(self._film.index)), 0.0)
            raise errors.UserError(
                f"{label}: expected a file that ends where its container says, got one that ends after "
                f"{seconds:.2f} s of video: the file is truncated; copy it again or drop it"
            )
        # A repeated header, as of some downloads in fragments, is no other recording.
        if units.joined and not self._was_read(units):
            raise errors.UserError(
                f"{label}: expected one recording, got the files of several one after another, of which only "
                "the first would be read: split it, or remux the recordings into one file"
            )
        self._promise(label, units)
        self._pictures(label)

    def _promise(self, label: str, units: framing.Framing) -> None:
        names = self._container.format.name.split(",")
        if not set(names) & set(_PROMISE):
            return
        from_start = bool(set(names) & set(_FROM_START))
        slack = 3 / clock.rate(self._film)
        film, total = self._film, self._container.duration
        pairs = []
        base = rational.exact(film.time_base)
        if set(names) & set(_EACH_STREAM) and film.duration is not None and base is not None:
            start = film.start_time or 0 if from_start else 0
            promised = (start + film.duration) * base
            pairs.append((promised, self._end(film.index), slack))
        if total is not None:
            last = max(map(self._end, self._shown))
            start = self._container.start_time or 0 if from_start else 0
            pairs.append((Fraction(total + start, av.time_base), last, max(slack, _SOUND_SLACK)))
        # A last frame may stay for long without saying so: then all of the media was read.
        if units.whole and self._was_read(units, units.media_end // 20):
            return
        for promised, came, least in pairs:
            if promised - came > max(least, promised / 20):
                raise errors.UserError(
                    f"{label}: expected {float(promised):.2f} s of video, got {max(float(came), 0):.2f} s: "
                    "the file is truncated; copy it again or drop it"
                )

    def _was_read(self, units: framing.Framing, left: int = 0) -> bool:
        """Return whether all media was read but for `left` bytes; False if its end is unknown."""
        return 0 < units.media_end <= self._bytes_read + max(64, left)

    def _pictures(self, label: str) -> None:
        packets, frames = np.sort(self._packets), np.sort(self._frames)
        if not len(packets) or not len(frames):
            return
        # Packets from each frame to the next; one frame may take two, its fields.
        runs = np.diff([*np.searchsorted(packets, frames), len(packets)]) - 2
        if runs.max() > max(3, 0.05 * len(packets)):
            raise errors.UserError(
                f"{label}: expected frames from all of the video, got none from {runs.max() + 2} packets in "
                f"a row of {len(packets)}: the video is damaged; drop it"
            )
