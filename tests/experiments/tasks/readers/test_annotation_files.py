"""Annotation files are hostile input: no unpickling, limits on size and rows, one line for each fault."""

import pickle

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers import annotation_files
from tests.experiments.tasks.readers import written


@pytest.mark.parametrize("name", ["calms21.npy", "calms21.json", "boxes.pkl"])
def test_what_would_unpickle_is_refused_with_the_way_out(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".pkl"):
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        with path.open("wb") as file:
            np.save(file, np.asarray({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(errors.UserError, match=r"unpickles.*JSON, CSV or text file.*json\.dump"):
        annotation_files.content(str(path))


def test_size_and_rows_are_limited(tmp_path, monkeypatch):
    path = written.text(tmp_path, "a.csv", "a,b\n" + "1,2\n" * 5)
    with pytest.raises(errors.UserError, match="at most 8 bytes"):
        annotation_files.content(path, 8)
    monkeypatch.setattr(annotation_files, "MOST_ROWS", 4)
    with pytest.raises(errors.UserError, match="at most 4 rows"):
        list(annotation_files.table(path, ("a",), "a table"))
    with pytest.raises(errors.UserError, match="at most 4 lines"):
        list(annotation_files.lines(path))
    with pytest.raises(errors.UserError, match="at most 4 entries"):
        annotation_files.json_of(written.plain(tmp_path, "a.json", [0] * 5), list, "a list")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 80 + "]" * 80, "nested too deeply"),
        ("{", "found no JSON"),
        ("9" * 5000, "found no JSON"),
        ("{}", "JSON list.*found dict.*another data set or version"),
    ],
)
def test_json_that_is_something_else_is_one_line(tmp_path, content, match):
    with pytest.raises(errors.UserError, match=match) as caught:
        annotation_files.json_of(written.text(tmp_path, "a.json", content), list, "the clips")
    assert "\n" not in str(caught.value)


def test_a_table_names_missing_columns_and_yields_wrong_rows(tmp_path):
    path = written.text(tmp_path, "a.csv", '\ufefflabel,id\n"a, b",1\nc\nd,2\n')
    assert list(annotation_files.table(path, ("label",), "a table")) == [
        ("line 2", {"label": "a, b", "id": "1"}),
        ("line 3", "expected 2 columns, found 1"),
        ("line 4", {"label": "d", "id": "2"}),
    ]
    with pytest.raises(errors.UserError, match="columns time, found 'label', 'id'"):
        list(annotation_files.table(path, ("time",), "a table"))


def test_text_that_is_not_utf8_and_files_that_are_missing(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"caf\xe9")
    with pytest.raises(errors.UserError, match="expected UTF-8, found the byte 0xe9"):
        list(annotation_files.lines(str(tmp_path / "a.csv")))
    with pytest.raises(errors.UserError, match="found none; correct the path"):
        annotation_files.content(str(tmp_path / "b.csv"))


@pytest.mark.parametrize(
    "value", ["", "x", "nan", "inf", "-1", "1e10", "9_0", True, None, "9" * 400, 10**400]
)
def test_numbers_are_finite_and_not_negative(value):
    assert annotation_files.number(value) is None
    assert annotation_files.whole(value) is None


def test_whole_numbers_may_be_float_text():
    assert annotation_files.whole("12.0") == 12
    assert annotation_files.whole("12.5") is None
    assert annotation_files.number("12.5") == 12.5
