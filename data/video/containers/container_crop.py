"""Read the cropping that MP4 (clean aperture) and Matroska (PixelCrop) declare; PyAV does not expose it."""

import io
import struct
from collections.abc import Iterator

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from prismlab.data.video.presentation import geometry

NONE: geometry.Margins = (0, 0, 0, 0)
_MOST_HEADER_BYTES, _MOST_ELEMENTS = 64 << 20, 4096
# Fields before the child boxes of a VisualSampleEntry (ISO/IEC 14496-12, 12.1.3).
_SAMPLE_ENTRY_BYTES = 78
_SEGMENT, _TRACKS, _CLUSTER, _ENTRY, _TYPE, _VIDEO = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xAE, 0x83, 0xE0
_CROPS = (0x54CC, 0x54DD, 0x54BB, 0x54AA)  # left, right, top, bottom


def margins(file: io.BufferedIOBase, opened: InputContainer, stream: VideoStream) -> geometry.Margins:
    """Return the cropping of a stream by its container; none if it is absent or leaves no pixels.

    Args:
        file: the file; its position is kept.
        opened: the same file, opened.
        stream: a video stream of it.
    """
    kind, before = opened.format.name, file.tell()
    if "mp4" not in kind and "matroska" not in kind:
        return NONE
    if "mp4" in kind and isinstance(file, io.BytesIO) and b"clap" not in file.getvalue():
        return NONE  # the usual case, without parsing; `getvalue` does not copy
    found = _found(file, file.seek(0, io.SEEK_END), kind, opened, stream)
    file.seek(before)
    width, height = stream.codec_context.width, stream.codec_context.height
    if min(found) < 0 or found[0] + found[1] >= width or found[2] + found[3] >= height:
        return NONE
    return found


def _found(
    file: io.BufferedIOBase, size: int, kind: str, opened: InputContainer, stream: VideoStream
) -> geometry.Margins:
    try:
        if "mp4" in kind:
            return _clean_aperture(file, size, stream)
        pictures = [each for each in opened.streams.video if not each.disposition & Disposition.attached_pic]
        return _pixel_crop(file, size, pictures.index(stream)) if stream in pictures else NONE
    except (struct.error, IndexError, ValueError, ZeroDivisionError):
        return NONE  # a damaged header: FFmpeg reports what matters


def _boxes(data: memoryview, start: int = 0) -> Iterator[tuple[bytes, memoryview]]:
    while start + 8 <= len(data):
        size, kind, header = *struct.unpack(">I4s", data[start : start + 8]), 8
        if size == 1:
            size, header = struct.unpack(">Q", data[start + 8 : start + 16])[0], 16
        size = size or len(data) - start
        if size < header:
            return
        yield kind, data[start + header : start + size]
        start += size


def _inside(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    for kind, content in _boxes(data):
        if kind == path[0]:
            yield from _inside(content, *path[1:]) if path[1:] else (content,)


def _movie(file: io.BufferedIOBase, size: int) -> memoryview | None:
    at = 0
    for _ in range(_MOST_ELEMENTS):
        if at + 8 > size:
            break
        file.seek(at)
        head = file.read(16)
        length, kind, header = *struct.unpack(">I4s", head[:8]), 8
        if length == 1:
            length, header = struct.unpack(">Q", head[8:16])[0], 16
        length = length or size - at
        if kind == b"moov" and length <= _MOST_HEADER_BYTES:
            file.seek(at + header)
            return memoryview(file.read(length - header))
        if length < header:
            break
        at += length
    return None


def _clean_aperture(file: io.BufferedIOBase, size: int, stream: VideoStream) -> geometry.Margins:
    movie = _movie(file, size)
    for track in _inside(movie, b"trak") if movie is not None else ():
        head = next(_inside(track, b"tkhd"), None)
        if head is None:
            continue
        (number,) = struct.unpack(">I", head[20:24] if head[0] else head[12:16])
        if number != stream.id:
            continue
        for table in _inside(track, b"mdia", b"minf", b"stbl", b"stsd"):
            for _, entry in _boxes(table, 8):
                for kind, content in _boxes(entry, _SAMPLE_ENTRY_BYTES):
                    if kind == b"clap":
                        return _margins_of(content, *struct.unpack(">HH", entry[24:28]))
    return NONE


def _margins_of(clap: memoryview, width: int, height: int) -> geometry.Margins:
    parts = struct.unpack(">8i", clap[:32])
    across, down, right, below = (parts[index] / parts[index + 1] for index in (0, 2, 4, 6))
    left, top = round((width - across) / 2 + right), round((height - down) / 2 + below)
    return left, width - round(across) - left, top, height - round(down) - top


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        name, at = _number(data, at, keep_marker=True)
        size, at = _number(data, at)
        if size < 0:
            return
        yield name, data[at : at + size]
        at += size


def _number(data: memoryview, at: int, keep_marker: bool = False) -> tuple[int, int]:
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    marker = 1 << (7 * length)
    if not keep_marker:
        value = -1 if value == 2 * marker - 1 else value - marker  # all ones: unknown size
    return value, at + length


def _pixel_crop(file: io.BufferedIOBase, size: int, place: int) -> geometry.Margins:
    at = 0
    for _ in range(_MOST_ELEMENTS):
        if at >= size:
            break
        file.seek(at)
        head = memoryview(file.read(12))
        name, used = _number(head, 0, keep_marker=True)
        length, used = _number(head, used)
        if name == _CLUSTER:
            break
        if name == _TRACKS and 0 <= length <= _MOST_HEADER_BYTES:
            file.seek(at + used)
            entries = [dict(_elements(each)) for kind, each in _elements(memoryview(file.read(length)))
                       if kind == _ENTRY]  # fmt: skip
            videos = [each for each in entries if bytes(each.get(_TYPE, b""))[-1:] == b"\x01"]
            inside = dict(_elements(videos[place].get(_VIDEO, memoryview(b""))))
            left, right, top, bottom = (int.from_bytes(inside.get(each, b""), "big") for each in _CROPS)
            return left, right, top, bottom
        at += used if name == _SEGMENT or length < 0 else used + length
    return NONE
