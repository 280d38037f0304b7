"""CRIM13: 1-based inclusive bouts that tile the movie, several annotators, movies that are missing."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.science import crim13
from tests.experiments.tasks.readers import written

FILE = """Caltech Behavior Annotator - Annotation File

Configuration file:
other\to
attack\ta
sniff s

S1:\tstart\tend\ttype
-----------------------------
\t1\t2\tother
\t3\t4\tattack
\t6\t6\tsniff
\t7\t6\tother
\t8\t9\tjump

S2:    start    end     type
-----------------------------
       1         6  sniff
"""


def reader(tmp_path, file=FILE, **fields):
    written.text(tmp_path, "annotations/m1.txt", file)
    names = written.text(tmp_path, "test.txt", "m1.txt\nm2\n")
    root = written.videos(tmp_path, "m1_side.avi")
    return crim13.Crim13(
        root, str(tmp_path / "annotations"), test=names, suffix="_side", classes=3, length=2, **fields
    )


def test_frames_are_1_based_and_inclusive_and_gaps_are_counted(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    assert found.classes == ("attack", "other", "sniff")
    assert found.classes[found.background] == "other"
    assert [(item.extra["frame"], item.labels) for item in found.items] == [
        (0, (1,)), (1, (1,)), (2, (0,)), (3, (0,)), (5, (2,)),
    ]  # fmt: skip
    assert not written.missing(found)
    assert found.notes["annotator"] == "stream S1"
    for part in (
        "1 x bout that does not follow the one before (first: m1, line 12)",
        "2 x bout with wrong frames or behaviour (first: m1, line 13)",
        "1 x frame without a bout (first: m1, frame 5)",
        "1 x listed movie without annotation file (first: line 2: m2)",
    ):
        assert part in found.notes["rows left out"]


def test_the_other_annotator_and_faults(tmp_path):
    second = reader(tmp_path, stream=2).read("test", tmp_path)
    assert [item.labels for item in second.items] == [(2,)] * 6
    with pytest.raises(errors.UserError, match=r"stream S3:, found \[1, 2\]"):
        reader(tmp_path, stream=3).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="starts with 'Caltech Behavior Annotator'"):
        reader(tmp_path, "1 2 other\n").read("test", tmp_path)
    with pytest.raises(errors.UserError, match="expected 13 classes, found 3"):
        dataclasses.replace(reader(tmp_path), classes=13).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="view must be side or top"):
        reader(tmp_path, view="front")


def test_movies_with_other_behaviours_are_left_out(tmp_path):
    made = reader(tmp_path)
    written.text(tmp_path, "annotations/m2.txt", FILE.replace("sniff", "bite"))
    found = made.read("test", tmp_path)
    assert "1 x movie with other behaviours (first: m2: ['bite', 'sniff'])" in found.notes["rows left out"]
