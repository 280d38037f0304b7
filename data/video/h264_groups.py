"""Decode selected frames of an H.264 clip by skipping whole groups of pictures (GOPs) in between.

Seeking in arbitrary files returns wrong frames (see `decode`), so the container's index is not used. A clip
qualifies only if skipping packets cannot change a pixel: frames are coded in presentation order, there is one
packet per frame, and every GOP starts with an IDR picture, which resets the decoder's references. `encode`
writes such clips; all others are decoded from the beginning.
"""

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from prismlab.core import errors
from prismlab.data.video.containers import container, container_crop, opening, tracks
from prismlab.data.video.presentation import clock, geometry, rational

# H.264 NAL unit types (ITU-T H.264, table 7-1).
_IDR, _SEQUENCE_PARAMETERS, _PICTURE_PARAMETERS = 5, 7, 8


def chosen(
    video: bytes,
    wanted: Collection[int],
    count: int,
    part: tuple[float | None, float | None],
    limits: container.Limits,
) -> dict[int, geometry.Shown] | None:
    """Decode selected frames with GOP skipping, or return None if the clip does not qualify.

    Args:
        video: bytes of a video file.
        wanted: frame indices, counted from the start of the part, at least one.
        count: number of frames of the part, as found by decoding.
        part: (start, end) in seconds, end exclusive; None for the start or end of the file.
        limits: limits on the file.

    Returns:
        Mapping from frame index to decoded frame and geometry. Also None if the clip is damaged, exceeds a
        limit or is slow; sequential decoding then reports the specific error.
    """
    if max(wanted) >= count:
        return None
    try:
        with opening.opened(video, limits, "clip") as (opened, guarded):
            stream = tracks.film(opened, "clip")
            packets = [packet for packet in opened.demux(stream) if packet.size]
            starts, (first, last) = _group_starts(stream, packets), _inside(opened, stream, packets, part)
            if starts is None or last - first != count or len(packets) > limits.max_frames:
                return None
            crop = container_crop.margins(guarded.file, opened, stream)
            display = geometry.Display(stream, crop, limits.max_pixels, "clip")
            numbers = {packet.pts: number - first for number, packet in enumerate(packets)}
            found: dict[int, geometry.Shown] = {}
            for packet in [*_needed(packets, starts, [first + number for number in wanted]), None]:
                for frame in display.decoder.decode(packet):
                    if frame.width * frame.height > limits.max_pixels:
                        return None
                    guarded.check(len(found))
                    if numbers.get(frame.pts) in wanted:
                        found[numbers[frame.pts]] = display.show(frame)
    except (av.error.FFmpegError, errors.UserError):
        return None
    return found if len(found) == len(wanted) else None


_Item = TypeVar("_Item")


def _needed(packets: Sequence[_Item], starts: list[int], wanted: Collection[int]) -> Iterator[_Item]:
    # From each GOP, only the packets up to its last requested frame.
    for start, end in zip(starts, [*starts[1:], len(packets)]):
        last = max((number for number in wanted if start <= number < end), default=None)
        if last is not None:
            yield from packets[start : last + 1]


def _inside(
    opened: InputContainer,
    stream: VideoStream,
    packets: list[Packet],
    part: tuple[float | None, float | None],
) -> tuple[int, int]:
    if not packets:
        return 0, 0
    base = rational.exact(stream.time_base) or Fraction(0)
    zero = clock.zero(opened, stream, (packets[0].pts or 0) * base)
    ticks = np.asarray([packet.pts or 0 for packet in packets], np.float64)
    return container.inside(ticks * float(base) - float(zero), *part)


def _group_starts(stream: VideoStream, packets: list[Packet]) -> list[int] | None:
    """Return the packet indices of all IDR pictures (the first is 0); None if the clip does not qualify."""
    head = stream.codec_context.extradata
    # "avcC" format: length-prefixed NAL units, with parameter sets in the extradata and not in the packets.
    if stream.codec_context.name != "h264" or not head or len(head) < 7 or head[0] != 1:
        return None
    times = [packet.pts for packet in packets if packet.pts is not None]
    # Packets discarded by an edit list give no frames, which would shift the frame indices.
    if len(times) != len(packets) or times != sorted(set(times)) or any(each.is_discard for each in packets):
        return None
    kinds = [_unit_types(bytes(packet), (head[4] & 3) + 1) for packet in packets]
    if any(found is None or found & {_SEQUENCE_PARAMETERS, _PICTURE_PARAMETERS} for found in kinds):
        return None
    starts = [number for number, found in enumerate(kinds) if found is not None and _IDR in found]
    return starts if starts[:1] == [0] else None


def _unit_types(packet: bytes, width: int) -> set[int] | None:
    found, offset = set(), 0
    while offset + width < len(packet):
        found.add(packet[offset + width] & 31)
        offset += width + int.from_bytes(packet[offset : offset + width], "big")
    return found if offset == len(packet) else None
