"""Something-Something v2: brackets, indices as text, the unlabelled test split."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.classification import something
from tests.experiments.tasks.readers import written

CLIPS = [
    {"id": "7", "label": "moving cup up", "template": "Moving [something] up", "placeholders": ["cup"]},
    {"id": "9", "label": "", "template": "Covering [something] with [something]"},
    {"id": "8", "label": "x", "template": "Eating [something]"},
    {"id": "5"},
    "7",
]


def reader(tmp_path, labels=None):
    labels = labels or {"Covering something with something": "1", "Moving something up": "0"}
    return something.SomethingSomething(
        written.videos(tmp_path, "7.webm"),
        written.plain(tmp_path, "labels.json", labels),
        val=written.plain(tmp_path, "validation.json", CLIPS),
        classes=2,
    )


def test_brackets_are_stripped_and_indices_are_text(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert found.classes == ("Moving something up", "Covering something with something")
    assert [(item.key, item.labels, item.texts) for item in found.items] == [
        ("7", (0,), ("moving cup up",)),
        ("9", (1,), ()),
    ]
    assert found.items[0].path.endswith("7.webm")
    assert written.missing(found) == ["9"]
    assert (
        "1 x template that is no class (first: entry 3: 'Eating something')" in found.notes["rows left out"]
    )
    assert "2 x entry without id or template (first: entry 4)" in found.notes["rows left out"]


def test_the_unlabelled_test_split_and_other_files_are_refused(tmp_path):
    test = written.plain(tmp_path, "test.json", [{"id": "1"}, {"id": "2"}])
    with pytest.raises(errors.UserError, match="labels of the test split are not public"):
        dataclasses.replace(reader(tmp_path), val=test).read("val", tmp_path)
    for labels, match in [
        ({"a": "0", "b": "0"}, "an index of its own for 'b'"),
        ({"a": "x"}, "an index of its own for 'a', found 'x'"),
        ({"a": "0", "b": "2"}, "found none of 1"),
        ({"a": "0"}, "expected 2 classes, found 1"),
    ]:
        with pytest.raises(errors.UserError, match=match):
            reader(tmp_path, labels).read("val", tmp_path)
