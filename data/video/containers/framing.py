"""Follow the outermost units of a container (boxes, elements, chunks, pages, packets) to the end of the file.

A container promises the size of each unit, so a file that was cut, or filled with zeros where a download is
missing, shows it whatever its streams hold. Only sizes are read, not contents.
"""

import dataclasses
import re
import struct
from collections.abc import Callable
from typing import Protocol, runtime_checkable

# Elements of Matroska (RFC 9559): the file's header, its body, the clusters of frames, all of the body.
_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_BODY = {_CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_NUT = b"nut/multimedia container\0"  # the first bytes of a file
_SECTORS = 4096  # bytes of zeros after the last packet that are no padding
# Columns and rows of brightness for one of colour, by what YUV4MPEG calls it; (0, 0) has no colour.
_CHROMA = {b"420": (2, 2), b"422": (2, 1), b"444": (1, 1), b"411": (4, 1), b"mono": (0, 0)}
_MEDIA_BOXES = (b"mdat", b"moov", b"moof", b"ftyp", b"styp", b"sidx", b"free", b"skip", b"wide", b"uuid")


@runtime_checkable
class Readable(Protocol):
    """File object that can be read from any position."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes."""
        ...

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position and return it."""
        ...


@dataclasses.dataclass(frozen=True)
class Framing:
    """What the units of a container say about the end of the file.

    Args:
        whole: True if the last unit ends where the container says, False if it is cut or zeros follow instead
            of a unit, None if the container does not promise an end.
        media_end: position in bytes after the last unit that holds frames, or 0 if unknown.
        joined: whether the file of another recording follows the first one, in a container (MP4, MOV, FLV,
            ASF, NUT) of which FFmpeg reads the first recording only.
    """

    whole: bool | None
    media_end: int = 0
    joined: bool = False


def framing(file: Readable, format_name: str) -> Framing:
    """Follow the units of a file to its end.

    Args:
        file: the file; its position is changed.
        format_name: FFmpeg's name of the container format.
    """
    size = file.seek(0, 2)
    for name in format_name.split(","):
        if name in _FOLLOW:
            return _FOLLOW[name](file, size)
    return Framing(None)


def _at(file: Readable, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _number(data: bytes, *, marker: bool) -> tuple[int, int]:
    """Return an EBML number and its length in bytes; (0, 0) if it is none, and -1 for an unknown size."""
    width = 9 - data[0].bit_length() if data and data[0] else 0
    if not width or len(data) < width:
        return 0, 0
    value = int.from_bytes(data[:width], "big")
    if marker:
        return value, width
    value &= (1 << 7 * width) - 1
    return (-1 if value == (1 << 7 * width) - 1 else value), width


def _matroska(file: Readable, size: int) -> Framing:
    position, end, promised, open_cluster, media_end = 0, size, False, False, 0
    while position < end:
        head = _at(file, position, 12)
        identity, width = _number(head, marker=True)
        length, more = _number(head[width:], marker=False)
        if not width or not more:
            return Framing(False, media_end)
        start = position + width + more
        if identity == _SEGMENT:
            if length >= 0:
                end, promised = start + length, True
                if end > size:
                    return Framing(False)
            position = start
            continue
        if identity == _CLUSTER and length < 0:
            open_cluster, position = True, start
            continue
        if length < 0 or start + length > size:
            return Framing(False, media_end)
        open_cluster &= identity not in _BODY
        position = start + length
        if identity == _CLUSTER or open_cluster:
            media_end = position
    return Framing(True if promised else None, media_end)


def _boxes(file: Readable, size: int) -> Framing:
    position, media_end, recordings = 0, 0, 0
    while position + 8 <= size:
        head = _at(file, position, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if kind not in _MEDIA_BOXES and not kind.isalnum():
            return Framing(False if head[:8] == bytes(8) and media_end == 0 else None, media_end)
        length = size - position if length == 0 else length
        if length < 8:
            return Framing(None, media_end)
        position += length
        media_end = position if kind == b"mdat" else media_end
        recordings += kind == b"moov"
        if position > size and kind in _MEDIA_BOXES:
            return Framing(False, media_end)
    return Framing(True, media_end, joined=recordings > 1)


def _riff(file: Readable, size: int) -> Framing:
    position, media_end = 0, 0
    while position + 12 <= size:
        head = _at(file, position, 12)
        if head[:4] != b"RIFF":
            break
        start, position = position + 12, position + 8 + int.from_bytes(head[4:8], "little")
        media_end = max(media_end, _chunks(file, start, min(position, size)))
        position += position % 2
    # A recorder that was stopped leaves a length of 0; a missing byte of padding is no fault.
    return Framing(None if position <= 8 else position <= size + 1, media_end)


def _chunks(file: Readable, position: int, end: int) -> int:
    """Return the end of the last chunk of media with content, 0 if there is none or a length is wrong.

    Empty chunks, by which AVI says that a picture stays, are not read by FFmpeg.
    """
    media_end = 0
    while position + 8 <= end:
        head = _at(file, position, 12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] == b"LIST" and head[8:] in (b"movi", b"rec "):
            position += 12  # what is inside follows
            continue
        position += 8 + length
        if position > end or not head[:4].strip().isalnum():
            return 0
        media_end = position if length and head[:2].isdigit() else media_end
        position += length % 2
    return media_end


def _transport(file: Readable, size: int) -> Framing:
    # Packets of 188 bytes, alone, after a time stamp of 4 bytes (m2ts) or before 16 of check symbols.
    tail = _at(file, max(0, size - 204 * 6), 204 * 6)
    if not any(tail):
        return Framing(False)
    for step, after in ((188, 188), (192, 188), (204, 204)):
        for last in range(len(tail) - 1, max(-1, len(tail) - 1 - step), -1):
            places = range(last, max(-1, last - 5 * step), -step)
            if len(places) > 1 and all(tail[place] == 0x47 for place in places):
                return Framing(last + after == len(tail))
    return Framing(None)


def _program(file: Readable, size: int) -> Framing:
    # Packs and packets from the first pack of the tail, which is longer than any packet.
    tail = _at(file, max(0, size - (1 << 18)), 1 << 18)
    at = tail.find(b"\0\0\1\xba")
    if at < 0:
        return Framing(None if any(tail) else False)
    while at + 4 <= len(tail):
        head = tail[at : at + 14]
        if head[:3] != b"\0\0\1" or head[3] < 0xB9:
            return Framing(None if any(tail[at:]) or len(tail) - at < _SECTORS else False)
        if head[3] == 0xB9:  # the end of the program
            return Framing(True)
        if head[3] == 0xBA and len(head) == 14:
            at += 12 if head[4] & 0xF0 == 0x20 else 14 + (head[13] & 7)
        elif head[3] == 0xBA or len(head) < 6:
            return Framing(False)
        else:
            at += 6 + int.from_bytes(head[4:6], "big")
    return Framing(None if at == len(tail) else False)


def _planes(file: Readable, size: int) -> Framing:
    head = _at(file, 0, 256).partition(b"\n")[0]
    fields = {field[:1]: field[1:] for field in head.split()[1:]}
    match = re.fullmatch(rb"(mono|4\d\d)(jpeg|mpeg2|paldv|p(\d+))?", fields.get(b"C", b"420"))
    kind, deep = (match[1], match[3]) if match else (b"", None)
    if not (fields.get(b"W", b"").isdigit() and fields.get(b"H", b"").isdigit()) or kind not in _CHROMA:
        return Framing(None)
    across, down = _CHROMA[kind]
    width, height = int(fields[b"W"]), int(fields[b"H"])
    values = width * height + (2 * -(-width // across) * -(-height // down) if across else 0)
    frame = len(b"FRAME\n") + values * (2 if deep else 1)
    # Frames may have parameters of their own, which are not known here.
    plain = _at(file, len(head) + 1, 6) == b"FRAME\n"
    return Framing((size - len(head) - 1) % frame == 0 if plain else None)


def _ogg(file: Readable, size: int) -> Framing:
    tail = _at(file, max(0, size - 65_400), 65_400)
    at = tail.rfind(b"OggS")
    if at < 0:
        return Framing(False)
    page = tail[at:]
    table = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) < 27 or len(table) < page[26]:
        return Framing(False)
    return Framing(27 + len(table) + sum(table) == len(page))


def _flash(file: Readable, size: int) -> Framing:
    position = int.from_bytes(_at(file, 5, 4), "big") + 4
    while position + 11 <= size and (head := _at(file, position, 4)):
        if head[:3] == b"FLV":  # the header of a file where a tag should begin
            return Framing(True, size, joined=True)
        if not any(head) and size - position >= _SECTORS and not any(_at(file, position, _SECTORS)):
            return Framing(False)
        position += 11 + int.from_bytes(head[1:], "big") + 4
    length = int.from_bytes(_at(file, max(0, size - 4), 4), "big")
    head = _at(file, size - 4 - length, 4) if 11 <= length <= size - 13 else b""
    if len(head) == 4 and head[0] & 31 in (8, 9, 18) and int.from_bytes(head[1:], "big") + 11 == length:
        return Framing(True, size)
    return Framing(False if position > size else None)


def _asf(file: Readable, size: int) -> Framing:
    head = _at(file, 0, 1 << 16)
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or len(head) < at + 48:
        return Framing(None)
    (promised,) = struct.unpack("<Q", head[at + 40 : at + 48])
    if not promised:
        return Framing(None)
    joined = promised < size and _at(file, promised, 16) == _ASF_HEADER
    return Framing(promised <= size, size if promised <= size else 0, joined)


def _ivf(file: Readable, size: int) -> Framing:
    position = 32
    while position < size:
        head = _at(file, position, 4)
        position += 12 + int.from_bytes(head, "little")
    return Framing(position == size)


def _nut(file: Readable, size: int) -> Framing:
    position, before, found = 0, b"", 0
    while block := _at(file, position, 1 << 20):
        found += (before + block).count(_NUT)
        before, position = block[1 - len(_NUT) :], position + len(block)
    return Framing(None, joined=found > 1)


_FOLLOW: dict[str, Callable[[Readable, int], Framing]] = {
    "matroska": _matroska,
    "mov": _boxes,
    "avi": _riff,
    "mpegts": _transport,
    "mpeg": _program,
    "yuv4mpegpipe": _planes,
    "ogg": _ogg,
    "flv": _flash,
    "asf": _asf,
    "ivf": _ivf,
    "nut": _nut,
}
