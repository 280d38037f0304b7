"""Moments in Time: categories by index, paths below the folders of their labels."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.classification import moments
from tests.experiments.tasks.readers import written

CATEGORIES = "walking,1\nrunning,0\nadult+female+singing,2\n"


def reader(tmp_path, categories=CATEGORIES, classes=3):
    root = written.videos(tmp_path, "validation/running/clip_1.mp4", "validation/walking/clip_1.mp4")
    rows = "running/clip_1.mp4,running,4,0\nwalking/clip_1.mp4,walking,3,1\nwalking/clip_2.mp4,walking,3,0\n"
    table = written.text(tmp_path, "validationSet.csv", rows + "a/b.mp4,flying,1,1\nc.mp4\n")
    names = written.text(tmp_path, "moments_categories.txt", categories)
    return moments.MomentsInTime(root, names, val=table, classes=classes)


def test_labels_are_the_indices_of_the_categories(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert found.classes == ("running", "walking", "adult+female+singing")
    assert [(item.key, item.labels) for item in found.items] == [
        ("running/clip_1", (0,)),
        ("walking/clip_1", (1,)),
        ("walking/clip_2", (1,)),
    ]
    # The same file name in two folders is two clips.
    assert found.items[0].path.endswith("running/clip_1.mp4")
    assert written.missing(found) == ["walking/clip_2"]
    assert "1 x label that is no category (first: line 4: 'flying')" in found.notes["rows left out"]
    assert "1 x row without a label (first: line 5)" in found.notes["rows left out"]
    assert found.notes["classes that never occur"] == "1: adult+female+singing"
    assert found.notes["size"] == "3 clips annotated, 33898 published"


@pytest.mark.parametrize(
    ("categories", "match"),
    [
        ("running,0\nwalking,2\n", "class indices 0 to 1, found none of 1"),
        ("running,0\nwalking,0\n", "line 2: expected a name and an index of its own"),
        ("running\n", "line 1: expected a name and an index"),
        (
            "".join(f"c{i},{i}\n" for i in range(305)),
            r"expected 3 classes, found 305 \(as in Moments in Time v2\)",
        ),
    ],
)
def test_a_wrong_list_of_categories_is_refused(tmp_path, categories, match):
    with pytest.raises(errors.UserError, match=match):
        reader(tmp_path, categories).read("val", tmp_path)
