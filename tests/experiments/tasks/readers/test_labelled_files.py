"""A user's table or folder of labelled videos: splits, windows, labels and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.video import encode
from prismlab.experiments.tasks.features import views
from prismlab.experiments.tasks.interface import protocols
from prismlab.experiments.tasks.readers import labelled_files


def video(path, shade=0, frames=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode.encode(np.full((frames, 16, 16, 3), shade, np.uint8), 8))


def test_a_table_with_splits_windows_and_bad_rows(tmp_path):
    video(tmp_path / "clips" / "a.mp4", 40)
    video(tmp_path / "clips" / "b.mp4", 200)
    (tmp_path / "labels.csv").write_text(
        "path,label,start,end,split\n"
        "clips/a.mp4,walk,,,train\n"
        'clips/a.mp4,"run, fast",0.5,1.0,test\n'
        "clips/b.mp4,walk,0,1,test\n"
        "clips/b.mp4,,,,test\n"
        "../secret.mp4,walk,,,test\n"
        "clips/b.mp4,walk,1,0.5,test\n"
        "clips/b.mp4,walk,,,other\n"
        "clips/missing.mp4,walk,,,test\n"
    )
    reader = labelled_files.LabelledTable(str(tmp_path / "labels.csv"))
    test = reader.read("test", tmp_path)
    assert test.classes == ("run, fast", "walk")
    assert [(item.labels, item.start, item.end) for item in test.items] == [
        ((0,), 0.5, 1.0),
        ((1,), 0.0, 1.0),
        ((1,), None, None),
    ]
    assert test.notes["rows left out"].startswith("4 (first: ")
    assert "row 4: expected a label, found none" in test.notes["rows left out"]
    how = protocols.Protocol(frames=2, resolution=16)
    assert abs(int(views.of(test.load(test.items[0]), how).mean()) - 40) < 4
    with pytest.raises(errors.UserError, match=r"missing\.mp4"):
        test.load(test.items[2])
    with pytest.raises(errors.UserError, match=r"no clips in split 'val'; found test, train.*column split"):
        reader.read("val", tmp_path)


def test_a_clip_that_occurs_twice_is_counted_and_its_first_row_holds(tmp_path):
    rows = ["path,label,split", "a.mp4,x,test", "b.mp4,y,test", "a.mp4,y,test", "a.mp4,x,train"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    found = labelled_files.LabelledTable(str(tmp_path / "t.csv")).read("test", tmp_path)
    assert [(item.key, item.labels) for item in found.items] == [("a.mp4", (0,)), ("b.mp4", (1,))]
    assert found.notes["rows left out"].startswith("2 (first: ")
    assert found.notes["rows left out"].endswith("row 3: a.mp4 occurs before)")


def test_several_labels_a_clip(tmp_path):
    (tmp_path / "t.csv").write_text("path,label,split\na.mp4,x;y,test\nb.mp4,,test\nc.mp4,y;y,test\n")
    found = labelled_files.LabelledTable(str(tmp_path / "t.csv"), separator=";").read("test", tmp_path)
    assert found.multi_label
    np.testing.assert_array_equal(found.multi_hot(), [[1, 1], [0, 0], [0, 1]])


def test_without_a_split_column_a_hash_of_the_path_decides(tmp_path):
    lines = [f"{index}.mp4,l{index % 2}" for index in range(400)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]))
    reader = labelled_files.LabelledTable(str(tmp_path / "t.csv"))
    train, test = reader.read("train", tmp_path), reader.read("test", tmp_path)
    assert len(train) + len(test) == 400
    assert 70 < len(test) < 130
    assert train.classes == test.classes == ("l0", "l1")
    assert not {item.group for item in train.items} & {item.group for item in test.items}
    (tmp_path / "t.csv").write_text("\n".join(["path,label", "new.mp4,l0", *lines]))
    assert {item.key for item in test.items} <= {item.key for item in reader.read("test", tmp_path).items}


@given(st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=12))
def test_every_label_of_two_videos_is_trained_and_tested(drawn):
    labels = {f"{number}.mp4": own for number, own in enumerate(drawn)}
    found = labelled_files.splits(labels, 0.25)
    assert found.keys() == labels.keys()
    alone = all(len(own) == 1 for own in drawn)
    for label in "abc" if alone else "":
        where = [found[name] for name, own in labels.items() if label in own]
        assert len(where) < 2 or set(where) == {"train", "test"}
    moved = [name for name in labels if found[name] != labelled_files.split_of(name, 0.25)]
    assert len(moved) <= 6


def test_twenty_videos_of_two_classes_test_both(tmp_path):
    lines = [f"videos/clip{index:02d}.mp4,{'ab'[index % 2]}" for index in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]))
    found = labelled_files.LabelledTable(str(tmp_path / "t.csv")).read("test", tmp_path)
    assert {item.labels for item in found.items} == {(0,), (1,)}


@pytest.mark.parametrize("splits", [True, False])
def test_a_folder_for_each_class(tmp_path, splits):
    for split in ("train", "test") if splits else ("",):
        for name in ("run", "walk"):
            for index in range(12):
                path = tmp_path / split / name / f"{index}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            (path.parent / ".hidden.mp4").touch()
            (path.parent / "notes.txt").touch()
    reader = labelled_files.LabelledFolder(str(tmp_path))
    train, test = reader.read("train", tmp_path), reader.read("test", tmp_path)
    assert train.classes == ("run", "walk")
    assert len(train) + len(test) == (48 if splits else 24)
    assert all(item.key.split("/")[-2] == train.classes[item.labels[0]] for item in train.items)


def test_a_mixture_of_classes_and_splits_is_refused(tmp_path):
    for name in ("train", "walk"):
        (tmp_path / name).mkdir()
    with pytest.raises(errors.UserError, match="found both"):
        labelled_files.LabelledFolder(str(tmp_path)).read("train", tmp_path)


def test_a_video_that_arrives_or_changes_changes_the_digest(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\nrun/a.mp4,x\nrun/b.mp4,y\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.mp4").write_bytes(b"x")
    readers = [
        labelled_files.LabelledTable(str(tmp_path / "t.csv")),
        labelled_files.LabelledFolder(str(tmp_path)),
    ]
    before = [reader.content_digest(tmp_path) for reader in readers]
    assert [reader.content_digest(tmp_path) for reader in readers] == before
    (tmp_path / "run" / "b.mp4").write_bytes(b"xx")
    arrived = [reader.content_digest(tmp_path) for reader in readers]
    (tmp_path / "run" / "b.mp4").write_bytes(b"x")
    changed = [reader.content_digest(tmp_path) for reader in readers]
    for each in zip(before, arrived, changed):
        assert len(set(each)) == 3
