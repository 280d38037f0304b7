"""SSv2 subsets: descriptions out of prompts, pairs that are missing or occur twice, brackets."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import something_subsets
from tests.experiments.tasks.readers import written

UP, COVER = "Moving [something] up", "Covering [something], then\nstopping"


def row(video, caption, match):
    text = f'Human: Does this video entail the description: "{caption}"?\nAI: '.replace('"', '""')
    return f'videos/{video}.avi,"{text}",{match}\n'


def reader(tmp_path, rows, actions=2, **fields):
    table = written.text(tmp_path, "eval.csv", "videopath,caption,match\n" + rows)
    return something_subsets.SomethingSubset(
        written.videos(tmp_path, "9.webm", "7.webm"), table, actions=actions, **fields
    )


def test_descriptions_are_taken_out_of_the_prompts(tmp_path):
    rows = row(9, COVER, 1) + row(9, UP, 0) + row(7, COVER, 0) + row(7, UP, 1)
    found = reader(tmp_path, rows).read("test", tmp_path)
    assert found.classes == ("Covering something, then stopping", "Moving something up")
    assert [(item.key, item.labels) for item in found.items] == [("9", (0,)), ("7", (1,))]
    assert found.items[0].path.endswith("9.webm")  # the table says .avi
    assert not found.multi_label
    kept = reader(tmp_path, rows, brackets=True).read("test", tmp_path)
    assert kept.classes[1] == "Moving [something] up"


def test_pairs_that_are_missing_or_wrong_are_counted(tmp_path):
    rows = row(9, COVER, 1) + row(9, UP, 1) + row(9, UP, 0) + row(7, UP, 1) + row(7, COVER, 2)
    rows += row(5, UP, 0) + row(5, COVER, 0)
    found = reader(tmp_path, rows).read("test", tmp_path)
    assert [(item.key, item.labels) for item in found.items] == [("9", (0, 1))]
    assert found.multi_label
    for part in (
        "1 x pair that occurs before",
        "1 x row without video, description or match",
        "1 x video with fewer than 2 descriptions (first: 7)",
        "1 x video that matches no description (first: 5)",
    ):
        assert part in found.notes["rows left out"]


def test_the_table_of_the_other_subset_is_refused(tmp_path):
    rows = "".join(row(9, f"action {number}", int(number == 0)) for number in range(49))
    with pytest.raises(errors.UserError, match=r"expected 18 classes, found 49 \(as in SSv2-Events\)"):
        reader(tmp_path, rows, actions=18).read("test", tmp_path)
    found = reader(tmp_path, rows, actions=49).read("test", tmp_path)
    assert found.name == "SSv2-Events/test"
    assert found.notes["size"] == "1 clips annotated, 588 published"
