"""YouCook2: segments in seconds, no sentences of the test videos, wrong segments are counted."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import youcook2
from tests.experiments.tasks.readers import written

PARTS = [
    {"id": 0, "segment": [9, 20], "sentence": "chop  onions"},
    {"id": 1, "segment": [30, 30], "sentence": "stir"},
    {"id": 2, "segment": [40, 50.5], "sentence": "chop onions"},
    {"id": 3, "segment": [60, 70], "sentence": " "},
    {"id": 3, "segment": [80, 70], "sentence": "fry"},
    "nothing",
]


def reader(tmp_path, database):
    data = written.plain(tmp_path, "youcookii_annotations_trainval.json", {"database": database})
    return youcook2.YouCook2(written.videos(tmp_path, "abc.mp4"), data)


def test_each_segment_is_a_clip_with_one_caption(tmp_path):
    videos = {
        "abc": {"subset": "validation", "annotations": PARTS},
        "xyz": {"subset": "training", "annotations": PARTS[:1]},
        "uvw": {"subset": "validation"},
    }
    found = reader(tmp_path, videos).read("val", tmp_path)
    assert [(item.key, item.start, item.end, item.texts, item.group) for item in found.items] == [
        ("abc/0", 9.0, 20.0, ("chop onions",), "abc"),
        ("abc/2", 40.0, 50.5, ("chop onions",), "abc"),
    ]
    assert found.notes["rows left out"] == (
        "3 x segment that does not end after its start (first: abc segment 1); "
        "1 x empty caption (first: abc segment 3)"
    )
    assert found.notes["size"] == "2 videos annotated, 457 published"
    assert found.notes["repeated captions"].startswith("1 captions belong to several clips")


def test_the_test_split_and_other_files_are_refused(tmp_path):
    with pytest.raises(errors.UserError, match="sentences of the test videos are not public"):
        reader(tmp_path, {}).read("test", tmp_path)
    other = youcook2.YouCook2(written.videos(tmp_path), written.plain(tmp_path, "o.json", {"videos": []}))
    with pytest.raises(errors.UserError, match="expected an object 'database', found keys 'videos'"):
        other.read("val", tmp_path)
