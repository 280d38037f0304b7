"""Kept frames are those that were given, in every process; damage is one line."""

import dataclasses
import pathlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.records import decoded_frames, record, shards

PLENTY = 1 << 20


def _records(counts: list[int], size: tuple[int, int] = (2, 3)) -> list[record.Record]:
    rng = np.random.default_rng(0)
    return [
        record.Record(f"clip {i}", b"video", "a caption").keeping(
            rng.integers(0, 256, (n, *size, 3), np.uint8)
        )
        for i, n in enumerate(counts)
    ]


def _keep(records: list[record.Record], directory: pathlib.Path, most: int = PLENTY) -> list[record.Record]:
    return list(decoded_frames.kept(records, directory, most))


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=6), height=st.integers(1, 4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, counts: list[int], height: int) -> None:
    directory, given_ = tmp_path_factory.mktemp("frames"), _records(counts, (height, 2))
    assert all(a is b for a, b in zip(_keep(given_, directory), given_, strict=True))
    found = decoded_frames.DecodedFrames(directory)
    assert found[0].shape[1:3] == (height, 2)  # also opens the file, which must not be pickled
    found = pickle.loads(pickle.dumps(found))
    assert len(found) == len(counts)
    for index, each in enumerate(given_):
        np.testing.assert_array_equal(found[index], each.kept_frames)
        assert not found[index].flags.writeable


@pytest.mark.parametrize(
    ("records", "most"),
    [
        (_records([1, 2]), 35),  # 3 frames of 18 bytes are 54
        (_records([1]) + _records([1], (3, 3)), PLENTY),
        ([*_records([1]), record.Record("undecoded", b"video", None)], PLENTY),
        ([], PLENTY),
    ],
    ids=["too many bytes", "frames of two sizes", "a record without frames", "no record"],
)
def test_what_cannot_be_kept_is_passed_on_only(tmp_path: pathlib.Path, records, most) -> None:
    assert _keep(records, tmp_path / "frames", most) == records
    assert not decoded_frames.finished(tmp_path / "frames")


def test_a_reader_that_stops_early_leaves_nothing(tmp_path: pathlib.Path) -> None:
    each = decoded_frames.kept(_records([1, 1]), tmp_path / "frames", PLENTY)
    next(each)
    each.close()
    assert not list((tmp_path / "frames").iterdir())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (decoded_frames.PIXELS, b"short", "expected 36 bytes, got 5; delete this folder"),
        (decoded_frames.INDEX, b'{"height": 0, "width": 3, "counts": [2]}', "1 or more.*delete this folder"),
        (decoded_frames.INDEX, b'{"height": 2, "width": 3, "counts": [-2]}', "1 or more.*delete this folder"),
        (decoded_frames.INDEX, b"[", "delete this folder"),
    ],
)
def test_damage_is_one_line(tmp_path: pathlib.Path, file, content, message) -> None:
    _keep(_records([2]), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(errors.UserError, match=message):
        decoded_frames.DecodedFrames(tmp_path)


def test_shards_refuse_the_frames_of_other_clips(tmp_path: pathlib.Path) -> None:
    records = _records([1, 2])
    shards.write_shards(decoded_frames.kept(records, tmp_path / "frames", PLENTY), tmp_path / "set")
    frames = decoded_frames.DecodedFrames(tmp_path / "frames")
    reader = shards.ShardReader(tmp_path / "set", decoded=frames)
    np.testing.assert_array_equal(reader[1].kept_frames, records[1].kept_frames)
    _keep(records[:1], tmp_path / "fewer")
    fewer = decoded_frames.DecodedFrames(tmp_path / "fewer")
    with pytest.raises(errors.UserError, match="decoded frames of 2 clips, got 1"):
        shards.ShardReader(tmp_path / "set", decoded=fewer)


def test_frames_of_another_video_or_part_are_not_used() -> None:
    (one,) = _records([2])
    assert one.kept_frames is not None
    for change in ({"video": b"other"}, {"start": 0.5}, {"end": 1.0}):
        assert dataclasses.replace(one, **change).kept_frames is None
