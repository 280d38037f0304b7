"""Record schema and binary serialization: a fixed prefix, a JSON header, then the video bytes.

Byte format (little-endian): magic "PRSM", uint16 schema version, uint32 header length, uint32 crc32 of
everything that follows; then the header as UTF-8 JSON; then the encoded video, or the concatenated image
files of its frames. Nothing is pickled.

Version 1 supported videos only and can still be read. Version 2 added kind, sizes, fps and frame_count.
"""

import dataclasses
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from prismlab.core import errors

SCHEMA_VERSION = 2
READABLE = (1, 2)
# Contents of `Record.video`: a video file, one image file per frame, or a single image (a one-frame video).
KINDS = ("video", "frames", "image")
MAX_HEADER_BYTES = 4 << 20
MAX_VIDEO_BYTES = 1 << 30
_MAGIC = b"PRSM"
_LATEST = 1e15  # seconds
_PREFIX = struct.Struct("<4sHII")
_REMEDY = "rebuild the shards from their source (`prismlab data prepare`)"


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Decoded frames of one part of one video.

    Args:
        frames: uint8 [t, h, w, 3], as `frames.decode` returns them.
        checksum: crc32 of the video's bytes.
        start: start of the part, as in Record.
        end: end of the part, as in Record.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    checksum: int
    start: float | None
    end: float | None


@dataclasses.dataclass(frozen=True)
class Record:
    """One clip with its caption.

    Args:
        key: name of the clip, unique within its dataset.
        video: encoded bytes, interpreted according to `kind`; `frames.decode` decodes every kind.
        caption: non-empty text, or None for a clip without a caption, which trains no loss of texts.
        start: start of the clip within the video, in seconds, or None for the beginning of the video.
        end: end of the clip in seconds (exclusive), or None for the end of the video.
        labels: small JSON values by name, e.g. the ground truth of a synthetic clip.
        schema_version: version of the record format.
        kind: "video": one encoded video file (MP4, WebM, ...); "frames": one image file (JPEG, PNG or WebP)
            per frame, concatenated; "image": one image file, treated as a video of one frame.
        sizes: size in bytes of each frame's file, in order; for kind "frames" only.
        fps: frames per second, if known; for kind "frames" only.
        frame_count: number of frames between start and end, if known; lets the loader sample frame indices
            before decoding.
        decoded: the frames, if a source keeps them; not part of the stored record.
    """

    key: str
    video: bytes
    caption: str | None
    start: float | None = None
    end: float | None = None
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    kind: str = "video"
    sizes: tuple[int, ...] = ()
    fps: float | None = None
    frame_count: int | None = None
    decoded: Decoded | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def checksum(self) -> int:
        """crc32 of the video's bytes."""
        return zlib.crc32(self.video)

    @property
    def kept_frames(self) -> UInt8[np.ndarray, "t h w 3"] | None:
        """The frames in `decoded`, or None if there are none or the video or its part was replaced since."""
        kept = self.decoded
        if kept is None or (kept.start, kept.end, kept.checksum) != (self.start, self.end, self.checksum):
            return None
        return kept.frames

    def keeping(self, frames: UInt8[np.ndarray, "t h w 3"]) -> "Record":
        """Return this record with its decoded frames.

        Args:
            frames: what decoding the record gives.
        """
        return dataclasses.replace(self, decoded=Decoded(frames, self.checksum, self.start, self.end))


def of_frames(
    key: str, pictures: Sequence[bytes], caption: str | None, *, fps: float | None = None, **more: Any
) -> Record:
    """Create a record of kind "frames" from one image file per frame.

    Args:
        key: see Record.
        pictures: bytes of one JPEG, PNG or WebP file per frame, in order.
        caption: see Record.
        fps: frames per second, if known.
        more: other fields of Record.
    """
    sizes = tuple(len(each) for each in pictures)
    return Record(
        key, b"".join(pictures), caption, kind="frames", sizes=sizes, fps=fps, frame_count=len(sizes), **more
    )


def check(record: Record) -> None:
    """Validate the fields of a record.

    Args:
        record: the record to check; its video is not decoded.

    Raises:
        errors.UserError: if any field is invalid; lists every problem found.
    """
    faults = text_faults(record.key, record.caption, record.start, record.end, may_lack_caption=True)
    if not record.video:
        faults.append("a non-empty video, got 0 bytes")
    if len(record.video) > MAX_VIDEO_BYTES:
        faults.append(f"a video of at most {MAX_VIDEO_BYTES} bytes, got {len(record.video)}; split it")
    faults += _kind_faults(record)
    if record.schema_version != SCHEMA_VERSION:
        faults.append(f"schema version {SCHEMA_VERSION}, got {record.schema_version}")
    if faults:
        raise errors.UserError("\n".join(f"record {record.key!r}: expected {fault}" for fault in faults))


def text_faults(
    key: object, caption: object, start: object, end: object, *, may_lack_caption: bool = False
) -> list[str]:
    """Return what was expected of values that are to become fields of a Record, and what they are.

    Args:
        key: see Record.
        caption: see Record.
        start: see Record.
        end: see Record.
        may_lack_caption: accept None as caption.
    """
    faults = []
    if not isinstance(key, str) or not key:
        faults.append(f"a non-empty key, got {key!r}")
    lacks = may_lack_caption and caption is None
    if not lacks and (not isinstance(caption, str) or not caption.strip()):
        faults.append(f"a non-empty caption, got {caption!r}")
    wrong = [f"{name} as seconds from 0, or null, got {value!r}"
             for name, value in (("start", start), ("end", end)) if not _is_time(value)]  # fmt: skip
    if not wrong and isinstance(end, int | float):
        first = start if isinstance(start, int | float) else 0.0
        wrong += [f"end after start, got {start} to {end}"] if end <= first else []
    return faults + wrong


def _kind_faults(record: Record) -> list[str]:
    faults = []
    if record.kind not in KINDS:
        faults.append(f"kind one of {KINDS}, got {record.kind!r}")
    if record.kind == "frames":
        if not record.sizes or min(record.sizes) < 1 or sum(record.sizes) != len(record.video):
            faults.append(f"sizes of 1 or more that sum to {len(record.video)} bytes, got {record.sizes[:8]}")
        if record.frame_count not in (None, len(record.sizes)):
            faults.append(f"frame_count {len(record.sizes)} (the length of sizes), got {record.frame_count}")
    elif record.sizes or record.fps is not None:
        faults.append(f"sizes and fps for kind 'frames' only, got kind {record.kind!r}")
    if record.kind != "video" and (record.start is not None or record.end is not None):
        faults.append(
            f"start and end for kind 'video' only (trim frames when writing), got kind {record.kind!r}"
        )
    if record.fps is not None and not (_is_time(record.fps) and record.fps > 0):
        faults.append(f"fps above 0, or null, got {record.fps!r}")
    count = record.frame_count
    if count is not None and (type(count) is not int or count < 1):
        faults.append(f"frame_count of 1 or more, or null, got {count!r}")
    return faults


def pack(record: Record) -> bytes:
    """Serialize a record to bytes; deterministic (equal records give equal bytes).

    Args:
        record: record to serialize; validated with `check`.

    Returns:
        The packed bytes; read them with `unpack`.

    Raises:
        errors.UserError: if `check` fails, or the labels are not JSON or are too large.
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
            f"record {record.key!r}: expected text that UTF-8 can encode, got {error}; correct the caption"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.UserError(
            f"record {record.key!r}: expected labels that JSON can encode (no NaN or infinity), got {error}"
        ) from error
    if len(header) > MAX_HEADER_BYTES:
        raise errors.UserError(
            f"record {record.key!r}: expected caption and labels of at most {MAX_HEADER_BYTES} bytes, "
            f"got {len(header)}; store large values in a file next to the shards"
        )
    checksum = zlib.crc32(record.video, zlib.crc32(header))
    return _PREFIX.pack(_MAGIC, SCHEMA_VERSION, len(header), checksum) + header + record.video


def unpack(data: bytes, name: str = "record") -> Record:
    """Deserialize a record from the bytes written by `pack`.

    Args:
        data: one packed record.
        name: origin of the bytes, used in error messages (e.g. "shard-00000.array_record, record 7").

    Returns:
        The record.

    Raises:
        errors.UserError: if the format or version is not supported, or the record is truncated or corrupt.
    """
    if len(data) < _PREFIX.size or data[:4] != _MAGIC:
        raise errors.UserError(
            f"{name}: expected a record that starts with {_MAGIC!r}, got {data[:4]!r}; {_REMEDY}"
        )
    _, version, header_length, checksum = _PREFIX.unpack_from(data)
    if version not in READABLE:
        raise errors.UserError(f"{name}: expected schema version {SCHEMA_VERSION}, got {version}; {_REMEDY}")
    if header_length > MAX_HEADER_BYTES or len(data) < _PREFIX.size + header_length:
        raise errors.UserError(
            f"{name}: expected a header of {header_length} bytes, got a truncated record; {_REMEDY}"
        )
    if zlib.crc32(memoryview(data)[_PREFIX.size :]) != checksum:
        raise errors.UserError(
            f"{name}: expected bytes that match their checksum, got corrupt or truncated data; {_REMEDY}"
        )
    # The checksum matches, so `pack` wrote the rest, or a forger did.
    body = _PREFIX.size + header_length
    try:
        fields = json.loads(data[_PREFIX.size : body])
        expected = fields.pop("video_bytes")
        if expected != len(data) - body:
            raise errors.UserError(f"{expected} bytes of video in {len(data) - body} bytes")
        # A version 1 record is a version 2 record with default values for the new fields.
        record = Record(
            video=data[body:], **fields | {"sizes": tuple(fields.get("sizes", ())), "decoded": None}
        )
        check(record)
    except (errors.UserError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise errors.UserError(f"{name}: expected a sound header, got '{reason}'; {_REMEDY}") from error
    return record


def _is_time(value: object) -> bool:
    if value is None:
        return True
    # An int may be too large for a float, which isfinite would convert it to.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST
