"""Charades-STA: options are the descriptions of the video; chance, one option, two right answers."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import charades_sta
from tests.experiments.tasks.readers import written

LINES = """AB12C 0.0 5.2##person opens a door.
AB12C 0.0 5.2##a person walks in.
AB12C 7.5 9.0##person opens a door.
AB12C 9.0 12.0##person sits.
DE34F 1.0 2.0##person eats.
GH56I 3.0 3.0##person eats.
GH56I 1.0 2.0##
GH56I 1.0 person eats
GH56I nan 2.0##person eats.
"""


def reader(tmp_path, **fields):
    root = written.videos(tmp_path, "AB12C.mp4")
    return charades_sta.CharadesSta(root, test=written.text(tmp_path, "test.txt", LINES), **fields)


def test_options_are_the_descriptions_of_the_video(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    options = ("person opens a door.", "a person walks in.", "person sits.")
    assert [(item.start, item.end, item.answer) for item in found.items] == [
        (0.0, 5.2, 0), (0.0, 5.2, 1), (7.5, 9.0, 0), (9.0, 12.0, 2), (1.0, 2.0, 0),
    ]  # fmt: skip
    assert found.items[3].texts == options
    assert found.items[4].texts == ("person eats.",)
    assert written.missing(found) == ["DE34F 1-2 0"]
    assert found.notes["rows with one option"] == 1
    assert found.notes["rows whose segment has several descriptions"] == 2
    assert found.notes["chance of a random option"] == round((4 / 3 + 1) / 5, 4)
    for part in (
        "1 x segment that ends before it starts (first: line 6)",
        "1 x empty caption (first: line 7)",
        "2 x line that is no 'ID START END##description' (first: line 8",
    ):
        assert part in found.notes["rows left out"]


def test_rows_with_one_right_answer_among_several(tmp_path):
    decidable = reader(tmp_path, only="decidable").read("test", tmp_path)
    assert [item.answer for item in decidable.items] == [0, 1, 0, 2]
    found = dataclasses.replace(reader(tmp_path), only="unambiguous").read("test", tmp_path)
    assert [item.answer for item in found.items] == [0, 2]
    # Left-out rows stay options.
    assert len(found.items[0].texts) == 3
    with pytest.raises(errors.UserError, match="all, decidable or unambiguous, got 'some'"):
        reader(tmp_path, only="some")
