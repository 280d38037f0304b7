"""What one record of a shard holds, and its bytes: a fixed prefix, a JSON header, then the video.

Layout (little-endian): magic "PRSM", uint16 schema version, uint32 header length, uint32 crc32 of all that
follows; then the header as UTF-8 JSON, then the encoded video, or the files of its frames one after another.
Nothing is pickled.

Version 1 knew videos only; its records are still read. Version 2 added kind, sizes, fps and frame_count.
"""

import dataclasses
import json
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors

SCHEMA_VERSION = 2
READABLE = (1, 2)
# What `Record.video` holds: a video file; one picture file a frame; or one picture, a one-frame video.
KINDS = ("video", "frames", "image")
MAX_HEADER_BYTES = 4 << 20
MAX_VIDEO_BYTES = 1 << 30
_MAGIC = b"PRSM"
_PREFIX = struct.Struct("<4sHII")
_REMEDY = "write the shards again from their source (`prismlab data prepare`)"


@dataclasses.dataclass(frozen=True)
class Record:
    """One clip with its caption.

    Args:
        key: name of the clip, unique in its data set.
        video: bytes of what `kind` says; `frames.decode` turns any kind into pixels.
        caption: non-empty text.
        start: first second of the clip inside the video, or None for its beginning.
        end: last second (exclusive), or None for its end.
        labels: small JSON values by name, e.g. the truth of a rendered clip.
        schema_version: version of this layout.
        kind: "video": one encoded video file (MP4, WebM, ...); "frames": one picture file (JPEG, PNG or
            WebP) a frame, one after another; "image": one picture file, a video of one frame.
        sizes: bytes of each frame's file, in order; for "frames" only.
        fps: frames per second; for "frames" only, where known.
        frame_count: frames between start and end, where known, so that they can be chosen before decoding.
    """

    key: str
    video: bytes
    caption: str
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    kind: str = "video"
    sizes: tuple[int, ...] = ()
    fps: float | None = None
    frame_count: int | None = None

    @property
    def checksum(self) -> int:
        """crc32 of the video's bytes."""
        return zlib.crc32(self.video)


def of_frames(
    key: str, pictures: Sequence[bytes], caption: str, *, fps: float | None = None, **more: Any
) -> Record:
    """Return the record of a clip whose frames are picture files.

    Args:
        key: as in Record.
        pictures: bytes of one JPEG, PNG or WebP file a frame, in order.
        caption: as in Record.
        fps: frames per second, where known.
        more: other fields of Record.
    """
    sizes = tuple(len(each) for each in pictures)
    return Record(
        key, b"".join(pictures), caption, kind="frames", sizes=sizes, fps=fps, frame_count=len(sizes), **more
    )


def check(record: Record) -> None:
    """Refuse a record that no reader could use.

    Args:
        record: the record to look at; its video is not decoded.

    Raises:
        errors.UserError: naming the record and every fault found.
    """
    faults = []
    if not isinstance(record.key, str) or not record.key:
        faults.append(f"a non-empty key, got {record.key!r}")
    if not isinstance(record.caption, str) or not record.caption.strip():
        faults.append(f"a non-empty caption, got {record.caption!r}")
    if not record.video:
        faults.append("a non-empty video, got 0 bytes")
    if len(record.video) > MAX_VIDEO_BYTES:
        faults.append(f"a video of at most {MAX_VIDEO_BYTES} bytes, got {len(record.video)}; cut it")
    for name in ("start", "end"):
        if not _is_time(getattr(record, name)):
            faults.append(f"{name} as seconds from 0, or null, got {getattr(record, name)!r}")
    if not faults and record.end is not None and record.end <= (record.start or 0.0):
        faults.append(f"end after start, got {record.start} to {record.end}")
    faults += _kind_faults(record)
    if record.schema_version != SCHEMA_VERSION:
        faults.append(f"schema version {SCHEMA_VERSION}, got {record.schema_version}")
    if faults:
        raise errors.UserError("\n".join(f"record {record.key!r}: wanted {fault}" for fault in faults))


def _kind_faults(record: Record) -> list[str]:
    faults = []
    if record.kind not in KINDS:
        faults.append(f"kind one of {KINDS}, got {record.kind!r}")
    if record.kind == "frames":
        if not record.sizes or min(record.sizes) < 1 or sum(record.sizes) != len(record.video):
            faults.append(f"sizes of 1 or more that sum to {len(record.video)} bytes, got {record.sizes[:8]}")
        if record.frame_count not in (None, len(record.sizes)):
            faults.append(f"frame_count {len(record.sizes)}, one a size, got {record.frame_count}")
    elif record.sizes or record.fps is not None:
        faults.append(f"sizes and fps for kind 'frames' only, got them for {record.kind!r}")
    if record.kind != "video" and (record.start is not None or record.end is not None):
        faults.append(
            f"start and end for kind 'video' only (cut frames when writing), got them for {record.kind!r}"
        )
    if record.fps is not None and not (_is_time(record.fps) and record.fps > 0):
        faults.append(f"fps above 0, or null, got {record.fps!r}")
    count = record.frame_count
    if count is not None and (type(count) is not int or count < 1):
        faults.append(f"frame_count of 1 or more, or null, got {count!r}")
    return faults


def pack(record: Record) -> bytes:
    """Turn a record into bytes; equal records give equal bytes.

    Args:
        record: what to write; checked first.

    Returns:
        The bytes that `unpack` reads.

    Raises:
        errors.UserError: for a record that `check` refuses, or labels that are not small JSON.
    """
    check(record)
    fields = {
        "key": record.key,
        "caption": record.caption,
        "start": record.start,
        "end": record.end,
        "labels": record.labels,
        "video_bytes": len(record.video),
        "kind": record.kind,
        "sizes": record.sizes,
        "fps": record.fps,
        "frame_count": record.frame_count,
    }
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        header = text.encode()
    except UnicodeEncodeError as error:
        raise errors.UserError(
            f"record {record.key!r}: wanted text that UTF-8 can hold, got {error}; correct the caption"
        ) from error
    except (TypeError, ValueError) as error:
        raise errors.UserError(
            f"record {record.key!r}: wanted labels that JSON can hold (words and finite numbers), got {error}"
        ) from error
    if len(header) > MAX_HEADER_BYTES:
        raise errors.UserError(
            f"record {record.key!r}: wanted caption and labels of at most {MAX_HEADER_BYTES} bytes, "
            f"got {len(header)}; keep large values in a file beside the shards"
        )
    checksum = zlib.crc32(record.video, zlib.crc32(header))
    return _PREFIX.pack(_MAGIC, SCHEMA_VERSION, len(header), checksum) + header + record.video


def unpack(data: bytes, name: str = "record") -> Record:
    """Read the bytes that `pack` wrote.

    Args:
        data: one packed record.
        name: where the bytes came from, for messages (e.g. "shard-00000.array_record, record 7").

    Returns:
        The record.

    Raises:
        errors.UserError: naming the record, for another format or version, a cut record or a changed byte.
    """
    if len(data) < _PREFIX.size or data[:4] != _MAGIC:
        raise errors.UserError(
            f"{name}: wanted a record that starts with {_MAGIC!r}, got {data[:4]!r}; {_REMEDY}"
        )
    _, version, header_length, checksum = _PREFIX.unpack_from(data)
    if version not in READABLE:
        raise errors.UserError(f"{name}: wanted schema version {SCHEMA_VERSION}, got {version}; {_REMEDY}")
    if header_length > MAX_HEADER_BYTES or len(data) < _PREFIX.size + header_length:
        raise errors.UserError(
            f"{name}: wanted a header of {header_length} bytes, got a cut record; {_REMEDY}"
        )
    if zlib.crc32(memoryview(data)[_PREFIX.size :]) != checksum:
        raise errors.UserError(
            f"{name}: wanted bytes that match their checksum, got changed or cut ones; {_REMEDY}"
        )
    # The checksum holds, so what follows is what `pack` wrote.
    body = _PREFIX.size + header_length
    fields = json.loads(data[_PREFIX.size : body])
    assert fields.pop("video_bytes") == len(data) - body
    # A record of version 1 is one of version 2 whose new fields have their defaults.
    return Record(video=data[body:], **fields | {"sizes": tuple(fields.get("sizes", ()))})


def _is_time(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )
