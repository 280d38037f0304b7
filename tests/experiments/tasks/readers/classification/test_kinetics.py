"""Kinetics: names of clips, other splits and versions, rows that are wrong, videos that are missing."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.readers.classification import kinetics
from tests.experiments.tasks.readers import written

TABLE = """label,youtube_id,time_start,time_end,split,is_cc
juggling balls,AbCdEfGhIjk,12,22,val,0
abseiling,-bCdEfGhIj_,7.0,17.0,val,0
"decorating, cake",cbCdEfGhIjk,0,10,val,1
"""


def reader(tmp_path, table=TABLE, **fields):
    root = written.videos(
        tmp_path,
        "juggling_balls/AbCdEfGhIjk_000012_000022.mp4",
        "val/-bCdEfGhIj__000007_000017.mkv",
        "cbCdEfGhIjk.mp4",
    )
    return kinetics.Kinetics(root, val=written.text(tmp_path, "val.csv", table), classes=3, **fields)


def test_clips_are_found_and_classes_are_sorted_names(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert found.classes == ("abseiling", "decorating, cake", "juggling balls")
    assert [(item.key, item.labels) for item in found.items] == [
        ("AbCdEfGhIjk_000012_000022", (2,)),
        ("-bCdEfGhIj__000007_000017", (0,)),
        ("cbCdEfGhIjk_000000_000010", (1,)),
    ]
    assert found.items[1].group == "-bCdEfGhIj_"
    # A file of the whole video is no clip of ten seconds.
    assert written.missing(found) == ["cbCdEfGhIjk_000000_000010"]


def test_wrong_rows_are_counted_and_named(tmp_path):
    wrong = "a,b\n,x,1,2,val,0\nabseiling,x,2,1,val,0\nabseiling,x,1,2,train,0\nabseiling,,1,2,val,0\n"
    found = reader(tmp_path, TABLE + wrong + TABLE.splitlines()[1]).read("val", tmp_path)
    assert len(found) == 3
    left_out = found.notes["rows left out"]
    for part in (
        "1 x expected 6 columns, found 2 (first: line 5)",
        "1 x label that is no class (first: line 6",
        "2 x id or times that are none (first: line 7)",
        "1 x row of another split (first: line 8",
        "1 x the clip occurs before (first: line 10",
    ):
        assert part in left_out


def test_another_version_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match=r"expected 600 classes, found 3"):
        dataclasses.replace(reader(tmp_path), classes=600).read("val", tmp_path)
    rows = "".join(f"class {number},id{number},0,10,val,0\n" for number in range(600))
    table = written.text(tmp_path, "k600.csv", TABLE.splitlines()[0] + "\n" + rows)
    with pytest.raises(errors.UserError, match=r"expected 400 classes, found 600 \(as in Kinetics-600\)"):
        kinetics.Kinetics(written.videos(tmp_path), val=table).read("val", tmp_path)


def test_a_class_list_gives_the_order_and_absent_classes_are_named(tmp_path):
    names = written.text(tmp_path, "names.txt", "juggling balls\nabseiling\nzumba\n")
    found = reader(tmp_path, class_list=names).read("val", tmp_path)
    assert [item.labels for item in found.items] == [(0,), (1,)]
    assert found.notes["classes that never occur"] == "1: zumba"
    assert "label that is no class (first: line 4: 'decorating, cake')" in found.notes["rows left out"]


def test_a_table_without_labels_or_for_no_split(tmp_path):
    test = written.text(tmp_path, "test.csv", "youtube_id,time_start,time_end,split\nx,1,2,test\n")
    with pytest.raises(errors.UserError, match="test table has no labels"):
        dataclasses.replace(reader(tmp_path), test=test).read("test", tmp_path)
    with pytest.raises(errors.UserError, match=r"no annotation file for split 'train' \(given: val\)"):
        reader(tmp_path).read("train", tmp_path)
    with pytest.raises(errors.UserError, match="no clip is left; 3 x row of another split"):
        dataclasses.replace(reader(tmp_path), train=str(tmp_path / "val.csv")).read("train", tmp_path)


def test_no_video_at_all_is_an_error_and_one_class_is_named(tmp_path):
    made = reader(
        tmp_path,
        "\n".join(TABLE.splitlines()[:2]),
        class_list=written.text(tmp_path, "n", "a\njuggling balls\nb"),
    )
    found = made.read("val", tmp_path)
    told = found.notes["classes that never occur"]
    assert told.endswith("; only one class occurs: a score says nothing")
    none = dataclasses.replace(made, videos=written.videos(tmp_path / "empty")).read("val", tmp_path)
    with pytest.raises(
        errors.UserError, match=r"none of 1 clips could be read \(AbCdEfGhIjk_000012_000022: no video"
    ):
        feature_set.some_left(none, [], {item.key: item.extra["missing"] for item in none.items})
