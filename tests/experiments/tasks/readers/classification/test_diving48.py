"""Diving48 V2: classes of four parts, a class that never occurs, labels of another version."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.classification import diving48
from tests.experiments.tasks.readers import written

VOCABULARY = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"], ["In", "a", "b", "c"]]


def reader(tmp_path):
    clips = [
        {"vid_name": "x_00001", "label": 0, "start_frame": 0, "end_frame": 90},
        {"vid_name": "x_00002", "label": 2, "start_frame": 0, "end_frame": 80},
        {"vid_name": "x_00003", "label": 3},
        {"vid_name": "x_00004", "label": "two"},
        {"label": 1},
    ]
    return diving48.Diving48(
        written.videos(tmp_path, "x_00001.mp4"),
        written.plain(tmp_path, "Diving48_vocab.json", VOCABULARY),
        test=written.plain(tmp_path, "Diving48_V2_test.json", clips),
        classes=3,
    )


def test_a_class_that_never_occurs_is_named(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    assert found.classes[1] == "Back 15som 15Twis FREE"
    assert [(item.key, item.labels) for item in found.items] == [("x_00001", (0,)), ("x_00002", (2,))]
    # Frames of the annotation count the whole file: nothing is cut.
    assert (found.items[0].start, found.items[0].end) == (None, None)
    assert found.items[0].extra["end_frame"] == 90
    assert found.notes["classes that never occur"] == "1: Back 15som 15Twis FREE"
    assert found.notes["size"] == "2 clips annotated, 1970 published"
    assert written.missing(found) == ["x_00002"]
    assert "1 x label that is no class (first: entry 3: 3)" in found.notes["rows left out"]
    assert "2 x entry without vid_name or label (first: entry 4)" in found.notes["rows left out"]


@pytest.mark.parametrize(
    ("vocabulary", "match"),
    [
        (VOCABULARY[:2], "expected 3 classes, found 2"),
        (["a", "b", "c"], "expected a list of names for each class"),
        ([["a"], ["b"], ["a"]], "class 'a' occurs twice"),
    ],
)
def test_a_wrong_vocabulary_is_refused(tmp_path, vocabulary, match):
    path = written.plain(tmp_path, "other.json", vocabulary)
    with pytest.raises(errors.UserError, match=match):
        dataclasses.replace(reader(tmp_path), vocabulary=path).read("test", tmp_path)
