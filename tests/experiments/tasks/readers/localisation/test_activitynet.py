"""ActivityNet: times of activities, zero lengths, ends beyond the video, both file names, blocked videos."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import segments
from prismlab.experiments.tasks.readers.localisation import activitynet
from tests.experiments.tasks.readers import written

PART = lambda start, end, label: {"segment": [start, end], "label": label}
DATABASE = {
    "abc": {"duration": 60.0, "subset": "validation", "annotations": [
        PART(3.1, 9.0, "Ballet"), PART(8.0, 61.5, "Archery"), PART(5, 5, "Ballet"), PART(9, 3, "Ballet"),
        PART(1, 2, "Juggling"), {"segment": "x"},
    ]},
    "-_x": {"duration": 20.0, "subset": "validation", "annotations": [PART(0, 20, "Ballet")]},
    "gone": {"duration": 9.0, "subset": "validation", "annotations": [PART(0, 1, "Ballet")]},
    "nil": {"subset": "validation", "annotations": []},
    "tr": {"duration": 9.0, "subset": "training", "annotations": [PART(0, 1, "Archery")]},
    "te": {"duration": 9.0, "subset": "testing", "annotations": []},
}  # fmt: skip


def reader(tmp_path, database=None, **more):
    data = written.plain(tmp_path, "a.json", {"version": "1.3", "database": database or DATABASE})
    videos = written.videos(tmp_path, "v_abc.mp4", "-_x.mkv")
    return activitynet.ActivityNet(videos, data, **{"classes": 3, **more})


def test_segments_stay_as_they_are_and_are_counted(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert found.classes == ("Archery", "Ballet", "Juggling")
    assert [item.key for item in found.items] == ["abc", "-_x", "gone"]
    first = found.items[0]
    assert first.path.endswith("v_abc.mp4")
    assert first.labels == (0, 1, 2)
    assert [(each.start, each.end, each.label) for each in first.extra[segments.SEGMENTS]] == [
        (3.1, 9.0, 1), (8.0, 61.5, 0), (5, 5, 1), (1, 2, 2)
    ]  # fmt: skip
    assert first.extra[segments.DURATION] == 60
    assert found.notes["segments of zero length"] == 1
    assert found.notes["segments that end after the video"] == 1
    assert found.notes["videos of several classes"] == 1
    assert found.notes["videos not found"] == 1
    assert written.missing(found) == ["gone"]
    assert found.notes["rows left out"] == (
        "2 x segment that ends before its start (first: abc segment 3); "
        "1 x video without duration (first: nil)"
    )
    assert found.notes["size"] == "3 clips annotated, 4926 published"
    assert [item.key for item in reader(tmp_path).read("train", tmp_path).items] == ["tr"]


@pytest.mark.parametrize("name", ["b.txt", "b.json"])
def test_blocked_videos_are_given_as_a_list(tmp_path, name):
    listed = written.plain(tmp_path, name, ["v_abc"]) if name.endswith("json") else written.text(
        tmp_path, name, "abc\nother\n")  # fmt: skip
    found = reader(tmp_path, blocked=listed).read("val", tmp_path)
    assert [item.key for item in found.items] == ["-_x", "gone"]
    assert "1 x video of the list of blocked ones (first: abc)" in found.notes["rows left out"]


def test_other_files_and_splits_are_refused(tmp_path):
    with pytest.raises(errors.UserError, match="activities of the testing videos are not public"):
        reader(tmp_path).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="expected 200 classes, found 3"):
        reader(tmp_path, classes=200).read("val", tmp_path)
    other = activitynet.ActivityNet(written.videos(tmp_path), written.plain(tmp_path, "o.json", {"v_x": {}}))
    with pytest.raises(errors.UserError, match="expected an object 'database', found keys 'v_x'"):
        other.read("val", tmp_path)
