"""AVA and AVA-Kinetics: ids with gaps, keyframes without boxes, excluded times, detections, clips."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes
from prismlab.experiments.tasks.readers.localisation import ava, ava_kinetics
from tests.experiments.tasks.readers import written

LABELS = """
item {
  name: "bend/bow (at the waist)"
  id: 1
}
label {
  name: "sit"
  label_id: 11
  label_type: PERSON_MOVEMENT
}
item {
  name: "watch (a person)"
  id: 80
}
"""
ROWS = """abc,0902,0.1,0.2,0.5,0.9,80,3
abc,0902,0.1,0.2,0.5,0.9,11,3
abc,0902,0.1,0.2,0.5,0.9,11,4
abc,0903,0.1,0.2,0.5,0.9,2,3
abc,0904
abc,0905,0.5,0.2,0.1,0.9,1,3
abc,0905,0.1,0.2,0.5,90,1,3
abc,0905,0.1,0.2,0.5,0.9,81,3
abc,0905,0.1,0.2,0.5,0.9,0,3
abc,0906,0.1,0.2,0.5,0.9,1,3
xyz,0902,0.0,0.0,1.0,1.001,1,0
abc,x,0.1
"""
WHOLE = "0.0,0.0,1.0,1.0"


def reader(tmp_path, **more):
    paths = {
        "actions": written.text(tmp_path, "list.pbtxt", LABELS),
        "val": written.text(tmp_path, "val.csv", ROWS),
        "excluded_val": written.text(tmp_path, "excluded.csv", "abc,0906\nabc,1000\n"),
    }
    return ava.Ava(written.videos(tmp_path, "abc.mkv"), **{"classes": 3, **paths, **more})


def test_rows_of_a_person_are_one_box_and_keyframes_without_evaluated_actions_stay(tmp_path):
    found = reader(tmp_path, begins=900, seconds=2).read("val", tmp_path)
    assert found.classes == ("bend/bow (at the waist)", "sit", "watch (a person)")
    keys = [item.key for item in found.items]
    assert keys == ["abc,0902", "abc,0903", "abc,0904", "abc,0905", "xyz,0902"]
    first = found.items[0]
    assert first.extra[boxes.BOXES] == (
        boxes.Box((0.1, 0.2, 0.5, 0.9), (1, 2)), boxes.Box((0.1, 0.2, 0.5, 0.9), (1,))
    )  # fmt: skip
    assert (first.start, first.end, first.group) == (1.0, 3.0, "abc")
    assert [item.extra[boxes.BOXES] for item in found.items[2:4]] == [(), ()]
    assert found.items[1].extra[boxes.BOXES][0].labels == ()
    assert found.items[4].extra[boxes.BOXES][0].shares == (0, 0, 1, 1)
    assert found.notes["rows of actions that are not evaluated"] == 1
    assert found.notes["keyframes without an evaluated action"] == 3
    assert found.notes["keyframes whose video is not found"] == 1
    assert found.notes["excluded keyframes"] == 1
    assert found.notes["annotated boxes"] == 4
    left_out = found.notes["rows left out"]
    assert "1 x box with swapped corners (first: line 6)" in left_out
    assert "1 x box outside the frame (shares of its width and height, 0 to 1, are expected)" in left_out
    assert "2 x id that is no action (first: line 8: '81')" in left_out
    assert "1 x row that is none" in left_out
    assert found.notes["size"] == "5 clips annotated, 57371 published"


def test_a_label_map_of_other_actions_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match="label map of the 60 evaluated actions, found 3"):
        reader(tmp_path, classes=60).read("val", tmp_path)
    twice = written.text(tmp_path, "twice.pbtxt", LABELS.replace("id: 80", "id: 1"))
    with pytest.raises(errors.UserError, match="a name and an id of its own"):
        reader(tmp_path, actions=twice).read("val", tmp_path)
    with pytest.raises(errors.UserError, match="no annotation file for split 'train'"):
        reader(tmp_path).read("train", tmp_path)
    wrong = written.text(tmp_path, "wrong.csv", "abc\n")
    with pytest.raises(errors.UserError, match="expected `video,second`, found 1 columns"):
        reader(tmp_path, excluded_val=wrong).read("val", tmp_path)


TABLE = f"""abc,902,{WHOLE},,0.95
abc,902,{WHOLE},,0.9
abc,0902,0.1,0.1,0.2,0.2,,0.5
abc,0906,{WHOLE},,0.9
abc,0903,0.5,0.1,0.2,0.2,,0.5
abc,0903,{WHOLE},,2
"""


def given(tmp_path, path):
    found = reader(tmp_path, detections=path).read("val", tmp_path)
    return {
        item.key: item.extra[boxes.DETECTIONS] for item in found.items if item.extra[boxes.DETECTIONS]
    }, found


def test_detections_of_slowfast_and_of_a_json_file_are_the_same(tmp_path):
    expected = {"abc,0902": (boxes.Detection((0, 0, 1, 1), 0.95), boxes.Detection((0.1, 0.1, 0.2, 0.2), 0.5))}
    made, found = given(tmp_path, written.text(tmp_path, "boxes.csv", TABLE))
    assert made == expected
    left_out = found.notes["rows left out"]
    for text in (
        "1 x detection of a box that occurs before", "1 x detection on a frame that is not evaluated",
        "1 x detection: box with swapped corners", "1 x detection: score that is not between 0 and 1",
    ):  # fmt: skip
        assert text in left_out
    assert found.notes["keyframes without detections"] == 4
    proposals = {"abc,0902": [[0, 0, 1, 1, 0.95], [0.1, 0.1, 0.2, 0.2, 0.5]], "no comma": [[0, 0, 1, 1, 1]]}
    made, found = given(tmp_path, written.plain(tmp_path, "boxes.json", proposals))
    assert made == expected
    assert "1 x detection of no keyframe" in found.notes["rows left out"]


def test_pickled_proposals_are_refused_unread_with_a_converter(tmp_path):
    path = tmp_path / "ava_dense_proposals_val.FAIR.recall_93.9.pkl"
    path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(errors.UserError, match=r"runs code that it may hold; convert it once.*pickle\.load"):
        given(tmp_path, str(path))
    with pytest.raises(errors.UserError, match="expected 8 columns"):
        given(tmp_path, written.text(tmp_path, "few.csv", "abc,902,0,0,1,1\n"))


KINETICS = """v1,15.0,0.1,0.2,0.5,0.9,80
v1,15.0,0.1,0.2,0.5,0.9,11
v1,30.5,0.1,0.2,0.5,0.9,1
v2,3.5,0.1,0.2,0.5,0.9,2
v2,3.5,0.1,0.2,0.5,0.9,2,extra
"""


def test_keyframes_of_kinetics_belong_to_the_clip_they_are_inside_of(tmp_path):
    (tmp_path / "k").mkdir()
    clips = written.videos(
        tmp_path / "k", "v1_000006_000016.mp4", "v1_000010_000020.mp4", "v1_000031_000041.mp4", "other.mp4"
    )
    table = written.text(tmp_path, "kinetics.csv", KINETICS)
    part = reader(tmp_path, seconds=4)
    found = ava_kinetics.AvaKinetics(part, clips, val=table).read("val", tmp_path)
    assert len(found) == 5 + 3
    first, second, third = found.items[5:]
    assert (first.key, first.group) == ("kinetics v1,15", "v1")
    assert first.path.endswith("v1_000010_000020.mp4")  # 5 s from both ends; the other clip ends at 16 s
    assert (first.start, first.end) == (3.0, 7.0)
    assert first.extra[boxes.BOXES] == (boxes.Box((0.1, 0.2, 0.5, 0.9), (1, 2)),)
    assert not second.path
    with pytest.raises(
        errors.UserError, match=r"v1: no clip below .* is open at 30.5 s of the original video"
    ):
        found.load(second)
    assert third.extra[boxes.BOXES][0].labels == ()
    assert found.notes["kinetics: keyframes whose video is not found"] == 2
    assert found.notes["ava: annotated boxes"] == 4
    assert "1 x row that is none" in found.notes["rows left out"]
    assert found.notes["size"] == "8 keyframes annotated, 91919 published"
