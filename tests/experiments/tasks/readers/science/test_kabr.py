"""KABR: the misspelt header, 1-based frames, the order of the classes."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.science import kabr
from tests.experiments.tasks.readers import written

CLASSES = {name: index for index, name in enumerate(kabr.CLASSES)}


def reader(tmp_path, classes=CLASSES, **fields):
    rows = "".join(f"Z0001.1 1 {frame} Z0001.1/{frame}.jpg {frame // 4}\n" for frame in range(1, 9))
    rows += (
        "G0002.3 2 1 G0002.3/1.jpg 9\nG0002.3 2 0 G0002.3/0.jpg 1\nG0002.3 2 1\nG0002.3 2 1 G0002.3/1.jpg 6\n"
    )
    table = written.text(tmp_path, "val.csv", "original_vido_id video_id frame_id path labels\n" + rows)
    root = written.videos(tmp_path, "Z0001.1/1.jpg")
    return kabr.Kabr(root, written.plain(tmp_path, "classes.json", classes), val=table, **fields)


def test_labels_are_those_of_the_middle_frames(tmp_path):
    found = reader(tmp_path, length=4, every=4).read("val", tmp_path)
    # Frame 2 from 0 is number 3 of the file, frame 6 number 7.
    assert [(item.key, item.labels, item.extra["frames"]) for item in found.items] == [
        ("Z0001.1:2", (0,), (0, 3)), ("Z0001.1:6", (1,), (4, 7)), ("G0002.3:0", (6,), (0, 0)),
    ]  # fmt: skip
    assert found.items[0].path.endswith("videos/Z0001.1")
    assert written.missing(found) == ["G0002.3:0"]
    assert found.notes["clips"] == "label of the middle frame, 4 frames, every 4"
    for part in (
        "1 x label that is no class (first: line 10: '9')",
        "1 x frame number that is none (the first is 1) (first: line 11)",
        "1 x expected 5 columns, found 3",
    ):
        assert part in found.notes["rows left out"]


def test_another_order_of_the_classes_is_refused(tmp_path):
    alphabetical = {name: index for index, name in enumerate(sorted(CLASSES))}
    with pytest.raises(
        errors.UserError, match=r"Walk 0, Graze 1.*found the alphabetical order of the Hugging"
    ):
        reader(tmp_path, alphabetical).read("val", tmp_path)
    with pytest.raises(errors.UserError, match="found others"):
        reader(tmp_path, {"Walk": 0}).read("val", tmp_path)
    comma = written.text(tmp_path, "comma.csv", "original_vido_id,video_id,frame_id,path,labels\n")
    with pytest.raises(errors.UserError, match="columns original_vido_id, frame_id, path, labels"):
        dataclasses.replace(reader(tmp_path), val=comma).read("val", tmp_path)
