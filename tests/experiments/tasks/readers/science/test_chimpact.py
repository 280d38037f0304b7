"""ChimpACT: JSON files in pixels and tables in shares give the same boxes; ids count from 0 and from 1."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes
from prismlab.experiments.tasks.readers.science import chimpact
from tests.experiments.tasks.readers import written

NAMES = [f"behaviour {number}" for number in range(23)]
COCO = {
    "images": [
        {"id": 7 + frame, "frame_id": frame, "width": 200, "height": 100, "file_name": f"{frame}.jpg"}
        for frame in range(40)
    ],
    "annotations": [
        {"image_id": 19, "bbox": [20, 20, 60, 40], "behaviors": [4, 0], "track_id": 1},
        {"image_id": 19, "bbox": [20, 20, 600, 40], "behaviors": [4], "track_id": 2},
        {"image_id": 20, "bbox": [20, 20, 60, 40], "behaviors": [], "track_id": 1},
        {"image_id": 999, "bbox": [20, 20, 60, 40], "behaviors": [4], "track_id": 1},
        {"image_id": 20, "bbox": [20, 20, 60, 40], "behaviors": [23], "track_id": 1},
    ],
}
BOX = "test/images/a,12,0.100,0.200,0.400,0.600"
TABLE = f"{BOX},5,1\n{BOX},1,1\ntest/images/a,14\n"


def reader(tmp_path, **more):
    pictures = [f"a/{number:04d}.jpg" for number in range(40)]
    actions = written.text(tmp_path, "action_list.txt", "\n".join(NAMES))
    return chimpact.ChimpAct(written.videos(tmp_path, *pictures), actions, length=16, **more)


def test_both_formats_give_the_same_boxes(tmp_path):
    written.plain(tmp_path / "json", "a.json", COCO)
    found = reader(tmp_path, test=str(tmp_path / "json")).read("test", tmp_path)
    expected = (boxes.Box((0.1, 0.2, 0.4, 0.6), (0, 4)),)
    assert [item.key for item in found.items] == ["a:12", "a:13"]
    first = found.items[0]
    (own,) = first.extra[boxes.BOXES]
    assert own.shares == pytest.approx(expected[0].shares)
    assert own.labels == expected[0].labels
    assert first.extra["frames"] == (4, 19)
    assert "1 x box outside the frame" in found.notes["rows left out"]
    assert "1 x box without picture or without four numbers" in found.notes["rows left out"]
    assert "1 x id that is no action (first: a box 4: '24')" in found.notes["rows left out"]
    table = written.text(tmp_path, "test_action.csv", TABLE)
    same = reader(tmp_path, test=table).read("test", tmp_path)
    assert [item.key for item in same.items] == ["a:12", "a:14"]
    assert same.items[0].extra[boxes.BOXES] == expected
    assert same.items[0].extra["frames"] == (4, 14)


def test_excluded_frames_and_every_nth(tmp_path):
    table = written.text(tmp_path, "test_action.csv", TABLE)
    excluded = written.text(tmp_path, "excluded.csv", "test/images/a,14\n")
    found = reader(tmp_path, test=table, excluded=excluded).read("test", tmp_path)
    assert [item.key for item in found.items] == ["a:12"]
    assert found.notes["excluded frames"] == 1
    with pytest.raises(errors.UserError, match="no clip is left"):
        reader(tmp_path, test=table, every=5).read("test", tmp_path)


def test_other_files_and_settings_are_refused(tmp_path):
    written.plain(tmp_path / "json", "a.json", {"boxes": []})
    with pytest.raises(
        errors.UserError, match="expected lists 'images' and 'annotations', found keys 'boxes'"
    ):
        reader(tmp_path, test=str(tmp_path / "json")).read("test", tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(errors.UserError, match="expected JSON files, one a video, found none"):
        reader(tmp_path, test=str(tmp_path / "none")).read("test", tmp_path)
    few = written.text(tmp_path, "few.txt", "a\nb\n")
    with pytest.raises(errors.UserError, match="expected 23 classes, found 2"):
        chimpact.ChimpAct(written.videos(tmp_path), few, test="x.csv").read("test", tmp_path)
    with pytest.raises(errors.UserError, match="first of 0 or 1"):
        reader(tmp_path, first=2)
