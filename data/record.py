"""What one record of a shard holds, and its bytes: a fixed prefix, a JSON header, then the video.

Layout (little-endian): magic "PRSM", uint16 schema version, uint32 header length, uint32 crc32 of all that
follows; then the header as UTF-8 JSON, then the encoded video. Nothing is pickled.
"""

import dataclasses
import json
import math
import struct
import zlib
from typing import Any

from core import errors

SCHEMA_VERSION = 1
MAX_HEADER_BYTES = 4 << 20
MAX_VIDEO_BYTES = 1 << 30
_MAGIC = b"PRSM"
_PREFIX = struct.Struct("<4sHII")
_REMEDY = "write the shards again from their source"


@dataclasses.dataclass(frozen=True)
class Record:
    """One clip with its caption.

    Args:
        key: name of the clip, unique in its data set.
        video: bytes of an encoded video file (MP4, WebM, ...).
        caption: non-empty text.
        start: first second of the clip inside the video, or None for its beginning.
        end: last second (exclusive), or None for its end.
        labels: small JSON values by name, e.g. the truth of a rendered clip.
        schema_version: version of this layout.
    """

    key: str
    video: bytes
    caption: str
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def checksum(self) -> int:
        """crc32 of the video's bytes."""
        return zlib.crc32(self.video)


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
    if record.schema_version != SCHEMA_VERSION:
        faults.append(f"schema version {SCHEMA_VERSION}, got {record.schema_version}")
    if faults:
        raise errors.UserError("\n".join(f"record {record.key!r}: wanted {fault}" for fault in faults))


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
        errors.UserError: for another format or version, a cut record or a changed byte, naming the record.
    """
    if len(data) < _PREFIX.size or data[:4] != _MAGIC:
        raise errors.UserError(
            f"{name}: wanted a record that starts with {_MAGIC!r}, got {data[:4]!r}; {_REMEDY}"
        )
    _, version, header_length, checksum = _PREFIX.unpack_from(data)
    if version != SCHEMA_VERSION:
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
    return Record(video=data[body:], schema_version=version, **fields)


def _is_time(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )
