"""Charades: several actions a video, the same action twice, videos without any, quoted commas."""

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.classification import charades
from tests.experiments.tasks.readers import written

TABLE = (
    "id,subject,script,actions,length\n"
    'AB12C,X1,"A person, in a room",c002 11.9 21.2;c000 0.0 12.6;c002 25.0 30.0,31\n'
    "DE34F,X2,none,,20\n"
    "GH56I,X3,wrong,c001 1.0;c009 1.0 2.0;c001 1.0 2.0,20\n"
)
CLASSES = "c000 Holding some clothes\nc001 Putting clothes somewhere\nc002 Taking some clothes\n"


def reader(tmp_path, classes=CLASSES):
    return charades.Charades(
        written.videos(tmp_path, "AB12C.mp4"),
        written.text(tmp_path, "Charades_v1_classes.txt", classes),
        test=written.text(tmp_path, "Charades_v1_test.csv", TABLE),
        classes=3,
    )


def test_labels_are_the_set_of_actions(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    assert found.multi_label
    assert found.items[0].labels == (0, 2)
    # One class in two segments is 1, not 2.
    np.testing.assert_array_equal(found.multi_hot(), [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert found.items[0].extra["segments"] == ((2, 11.9, 21.2), (0, 0.0, 12.6), (2, 25.0, 30.0))
    assert found.notes["videos without a label"] == 1
    assert (
        "2 x action that is none (its video is kept) (first: line 4: 'c001 1.0')"
        in found.notes["rows left out"]
    )
    assert written.missing(found) == ["DE34F", "GH56I"]


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ("Holding some clothes\n", "line 1: expected 'c000 Name'"),
        ("c000 a\nc002 b\n", "found none of 1"),
        ("c000 a\nc001 b\n", "expected 3 classes, found 2"),
    ],
)
def test_another_class_file_is_refused(tmp_path, classes, match):
    with pytest.raises(errors.UserError, match=match):
        reader(tmp_path, classes).read("test", tmp_path)
