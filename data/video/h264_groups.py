"""Chosen frames of an H.264 clip without decoding what lies between: whole groups of pictures are left out.

Seeking in any file that comes along returns wrong frames (see `decode`), so nothing here trusts a container's
index. A clip qualifies where leaving packets out cannot change a pixel: its frames are coded in the order in
which they are shown, there is one packet to a frame, and every group that is entered begins with an IDR
picture, which forgets all that came before. `encode` writes such clips; others are read from the beginning.
"""

import io
import time
from collections.abc import Collection, Iterator

import av
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from prismlab.data.video import container

# Types of H.264's units (ITU-T H.264, table 7-1).
_IDR, _SEQUENCE_PARAMETERS, _PICTURE_PARAMETERS = 5, 7, 8


def chosen(
    video: bytes,
    wanted: Collection[int],
    count: int,
    part: tuple[float | None, float | None],
    limits: container.Limits,
) -> dict[int, av.VideoFrame] | None:
    """Return chosen frames of a clip, or None where it must be read from the beginning.

    Args:
        video: bytes of a video file.
        wanted: frame numbers from 0, counted from the part's beginning, one or more.
        count: frames that decoding gives for the part, as somebody counted.
        part: first second, and the second before which the part ends; None for the file's own.
        limits: bounds on the file.

    Returns:
        number -> frame as decoded. None as well for a clip that is damaged, beyond a limit or slow: reading
        it from the beginning then says what is wrong.
    """
    if len(video) > limits.max_bytes or max(wanted) >= count:
        return None
    deadline = time.monotonic() + limits.seconds
    try:
        with av.open(io.BytesIO(video), "r", metadata_errors="replace") as opened:
            if not opened.streams.video:
                return None
            stream = opened.streams.video[0]
            packets = [packet for packet in opened.demux(stream) if packet.size]
            starts, (first, last) = _group_starts(stream, packets), _inside(stream, packets, part)
            if starts is None or last - first != count or len(packets) > limits.max_frames:
                return None
            stream.codec_context.thread_count = 1
            numbers = {packet.pts: number - first for number, packet in enumerate(packets)}
            found: dict[int, av.VideoFrame] = {}
            for packet in [*_needed(packets, starts, [first + number for number in wanted]), None]:
                for frame in stream.codec_context.decode(packet):
                    if frame.width * frame.height > limits.max_pixels or time.monotonic() > deadline:
                        return None
                    if numbers.get(frame.pts) in wanted:
                        found[numbers[frame.pts]] = frame
    except av.error.FFmpegError:
        return None
    return found if len(found) == len(wanted) else None


def _needed(packets: list[Packet], starts: list[int], wanted: Collection[int]) -> Iterator[Packet]:
    # From each group only what precedes its last wanted frame.
    for start, end in zip(starts, [*starts[1:], len(packets)]):
        last = max((number for number in wanted if start <= number < end), default=None)
        if last is not None:
            yield from packets[start : last + 1]


def _inside(
    stream: VideoStream, packets: list[Packet], part: tuple[float | None, float | None]
) -> tuple[int, int]:
    ticks = np.asarray([packet.pts or 0 for packet in packets], np.float64)
    return container.inside((ticks - ticks[:1]) * float(stream.time_base or 0), *part)


def _group_starts(stream: VideoStream, packets: list[Packet]) -> list[int] | None:
    """Return the numbers of the IDR pictures, the first being 0; None where the clip does not qualify."""
    head = stream.codec_context.extradata
    # "avcC": units behind a length of so many bytes, with parameters in the head and not in the packets.
    if stream.codec_context.name != "h264" or not head or len(head) < 7 or head[0] != 1:
        return None
    times = [packet.pts for packet in packets if packet.pts is not None]
    # Packets that an edit list discards give no frames, and times count from the first frame.
    if len(times) != len(packets) or times != sorted(set(times)) or any(each.is_discard for each in packets):
        return None
    kinds = [_unit_types(bytes(packet), (head[4] & 3) + 1) for packet in packets]
    if any(found is None or found & {_SEQUENCE_PARAMETERS, _PICTURE_PARAMETERS} for found in kinds):
        return None
    starts = [number for number, found in enumerate(kinds) if found is not None and _IDR in found]
    return starts if starts[:1] == [0] else None


def _unit_types(packet: bytes, width: int) -> set[int] | None:
    found, place = set(), 0
    while place + width < len(packet):
        found.add(packet[place + width] & 31)
        place += width + int.from_bytes(packet[place : place + width], "big")
    return found if place == len(packet) else None
