"""Records survive their bytes, and damaged bytes are refused by name."""

import dataclasses
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import errors
from data import record

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
def _records(draw: st.DrawFn) -> record.Record:
    start = draw(st.none() | st.floats(0, 100))
    end = draw(st.none() | st.floats(101, 200))
    labels = draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3))
    return record.Record(draw(TEXT), draw(st.binary(min_size=1)), draw(TEXT), start, end, labels)


@FEW
@given(made=_records())
def test_round_trip(made: record.Record) -> None:
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
    packed[4:6] = struct.pack("<H", 2)
    with pytest.raises(errors.UserError, match="schema version 1, got 2"):
        record.unpack(bytes(packed))


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
    with pytest.raises(errors.UserError, match=word):
        record.pack(dataclasses.replace(RECORD, **change))
