"""CalMS21: split by mouse, background, other tasks, the pickled file."""

import dataclasses

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.science import calms21
from tests.experiments.tasks.readers import written

VOCABULARY = {"attack": 0, "investigation": 1, "mount": 2, "other": 3}


def sequence(labels, vocabulary=VOCABULARY):
    return {"keypoints": [], "scores": [], "annotations": labels, "metadata": {"vocab": vocabulary}}


def reader(tmp_path, **fields):
    groups = {
        "annotator-id_0": {
            "task1/train/mouse001_task1_annotator1": sequence([3, 0, 0, 7]),
            "task1/train/mouse063_task1_annotator1": sequence([1, 1]),
            "task2/train/mouse002_task2_annotator1": sequence([1]),
            "task1/train/mouse003_task1_annotator1": {"keypoints": []},
        }
    }
    root = written.videos(tmp_path, "mouse001_task1_annotator1.mp4")
    return calms21.CalMs21(root, train=written.plain(tmp_path, "train.json", groups), length=2, **fields)


def test_every_frame_is_a_clip_and_the_split_is_by_mouse(tmp_path):
    found = reader(tmp_path).read("train", tmp_path)
    assert found.classes == ("attack", "investigation", "mount", "other")
    assert found.background == 3
    assert found.multi_label
    video = "mouse001_task1_annotator1"
    assert [(item.key, item.labels) for item in found.items] == [
        (f"{video}:0", (3,)), (f"{video}:1", (0,)), (f"{video}:2", (0,)),
    ]  # fmt: skip
    assert {item.group for item in found.items} == {video}
    assert found.notes["clips"] == "label of the middle frame, 2 frames, every 1"
    assert found.notes["size"] == "3 clips annotated, 430592 published"
    for part in (
        "1 x sequence of another task (first: task2/",
        "1 x sequence without annotations",
        "1 x frame whose label is no class (first: task1/train/mouse001_task1_annotator1, frame 3)",
    ):
        assert part in found.notes["rows left out"]
    held_out = reader(tmp_path, binary=False).read("val", tmp_path)
    assert [item.labels for item in held_out.items] == [(1,), (1,)]
    assert not held_out.multi_label
    assert len(written.missing(held_out)) == 2


def test_other_files_are_refused(tmp_path):
    other = {"a": {"task1/train/mouse001_task1": sequence([0], {"attack": 1, "other": 0})}}
    path = written.plain(tmp_path, "other.json", other)
    with pytest.raises(errors.UserError, match=r"expected the classes .*'attack': 0.*found .*'attack': 1"):
        dataclasses.replace(reader(tmp_path), train=path).read("train", tmp_path)
    np.save(tmp_path / "calms21.npy", np.asarray({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(errors.UserError, match="unpickles"):
        dataclasses.replace(reader(tmp_path), train=str(tmp_path / "calms21.npy")).read("train", tmp_path)
