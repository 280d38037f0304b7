"""Records survive their bytes, and damaged bytes are refused by name."""

import copy
import dataclasses
import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.records import record

FEW = settings(max_examples=40, deadline=None)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
RECORD = record.Record("clip", b"\x00\x01video", "a red disc", 0.0, 1.0, {"species": "disc"})


@st.composite
def _fields(draw: st.DrawFn) -> tuple:
    start = draw(st.none() | st.floats(0, 100))
    end = draw(st.none() | st.floats(101, 200))
    labels = draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3))
    return draw(TEXT), draw(st.binary(min_size=1)), draw(TEXT), start, end, labels


@FEW
@given(fields=_fields())
def test_round_trip(fields: tuple) -> None:
    made = record.Record(*fields)
    packed = record.pack(made)
    assert record.unpack(packed) == made
    assert record.pack(record.unpack(packed)) == packed
    assert made.checksum == zlib.crc32(made.video)


@FEW
@given(position=st.integers(0, len(record.pack(RECORD)) - 1), flip=st.integers(1, 255))
def test_every_changed_byte_is_noticed(position: int, flip: int) -> None:
    changed = bytearray(record.pack(RECORD))
    changed[position] ^= flip
    with pytest.raises(errors.UserError, match="shard 2, record 7: "):
        record.unpack(bytes(changed), "shard 2, record 7")


@FEW
@given(length=st.integers(0, len(record.pack(RECORD)) - 1))
def test_every_cut_is_noticed(length: int) -> None:
    with pytest.raises(errors.UserError, match="record 7: "):
        record.unpack(record.pack(RECORD)[:length], "record 7")


def test_equal_records_give_equal_bytes() -> None:
    one = dataclasses.replace(RECORD, labels={"a": 1, "b": 2})
    assert record.pack(one) == record.pack(dataclasses.replace(RECORD, labels={"b": 2, "a": 1}))


def test_another_version() -> None:
    packed = bytearray(record.pack(RECORD))
    packed[4:6] = struct.pack("<H", 3)
    with pytest.raises(errors.UserError, match=r"schema version 2, got 3.*prismlab data prepare"):
        record.unpack(bytes(packed))


def test_records_of_version_1_are_still_read() -> None:
    fields = {"caption": "a red disc", "end": 1.0, "key": "clip", "labels": {"species": "disc"}, "start": 0.0}
    header = json.dumps(fields | {"video_bytes": 7}).encode()
    body = header + b"\x00\x01video"
    packed = struct.pack("<4sHII", b"PRSM", 1, len(header), zlib.crc32(body)) + body
    assert record.unpack(packed) == RECORD


def test_frames_and_images_round_trip() -> None:
    clip = record.of_frames("clip", [b"first", b"second"], "a red disc", fps=8.0, labels={"a": 1})
    assert (clip.sizes, clip.frame_count) == ((5, 6), 2)
    image = record.Record("image", b"picture", "a red disc", kind="image")
    for each in (clip, image):
        assert record.unpack(record.pack(each)) == each


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "audio"}, "kind one of"),
        ({"kind": "frames"}, "sizes of 1 or more"),
        ({"kind": "frames", "sizes": (3, 5)}, "sum to 7"),
        ({"kind": "frames", "sizes": (3, 4, 0)}, "sizes of 1 or more"),
        ({"kind": "frames", "sizes": (3, 4), "frame_count": 3}, "frame_count 2"),
        ({"kind": "image"}, "start and end for kind 'video'"),
        ({"sizes": (7,)}, "for kind 'frames' only"),
        ({"fps": 25.0}, "for kind 'frames' only"),
        ({"fps": 0.0}, "fps above 0"),
        ({"frame_count": 0}, "frame_count of 1"),
        ({"frame_count": True}, "frame_count of 1"),
    ],
)
def test_kinds_that_do_not_agree_are_refused(change: dict, word: str) -> None:
    with pytest.raises(errors.UserError, match=word):
        record.pack(dataclasses.replace(RECORD, **change))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"key": ""}, "non-empty key"),
        ({"caption": "  \n"}, "non-empty caption"),
        ({"caption": b"bytes"}, "non-empty caption"),
        ({"caption": "\ud800"}, "UTF-8"),
        ({"video": b""}, "0 bytes"),
        ({"start": -1.0}, "start"),
        ({"end": float("nan")}, "end"),
        ({"end": True}, "end"),
        ({"start": 2.0, "end": 1.0}, "end after start"),
        ({"labels": {"x": float("nan")}}, "JSON"),
        ({"labels": {"x": object()}}, "JSON"),
        ({"labels": {"x": "y" * (5 << 20)}}, "at most"),
        ({"schema_version": 3}, "schema version"),
    ],
)
def test_unusable_records_are_refused(change: dict, word: str) -> None:
    wrong = copy.copy(RECORD)
    for name, value in change.items():
        object.__setattr__(wrong, name, value)  # past the check of types
    with pytest.raises(errors.UserError, match=word):
        record.pack(wrong)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"\xff", b"7", b"null", b"[]", b"{}", b"[" * 100_000,
        b'{"video_bytes": 5}', b'{"video_bytes": "5", "key": "k", "caption": "c"}',
        b'{"video_bytes": 5, "key": 7, "caption": "c"}',
        b'{"video_bytes": 5, "key": "k", "caption": "c", "x": 1}',
        b'{"video_bytes": 5, "key": "k", "caption": "c", "kind": "frames", "sizes": [9, -4]}',
        b'{"video_bytes": 5, "key": "k", "caption": "c", "sizes": 3}',
        b'{"video_bytes": 5, "key": "k", "caption": "c", "start": 1e999}',
    ],
)  # fmt: skip
def test_a_forged_header_is_one_line(header: bytes) -> None:
    body = header + b"video"
    packed = struct.pack("<4sHII", b"PRSM", 2, len(header), zlib.crc32(body)) + body
    with pytest.raises(errors.UserError, match="record 7: expected a sound header") as caught:
        record.unpack(packed, "record 7")
    assert "\n" not in str(caught.value)


def test_a_clip_may_have_no_caption() -> None:
    silent = record.Record("a", b"video", None)
    assert record.unpack(record.pack(silent)) == silent
    # Only None says so: an empty caption is a mistake of the input (see test_unusable_records_are_refused).
    assert record.text_faults("a", None, None, None) == ["a non-empty caption, got None"]
