"""Outcomes of single items: read once by file, kept only where they make up the score, bounded."""

import json

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.statistics import item_scores, results_table

ADDRESS = "0123456789abcdef"


def write(folder, outcomes, value=0.5):
    (folder / "scores").mkdir(exist_ok=True)
    score = {"value": value, "n": 4, "protocol": {}, "outcomes": outcomes}
    (folder / f"scores/{ADDRESS}.json").write_text(json.dumps({"metrics": {"motion": score}}))


def results(*seeds, value=0.5):
    score = results_table.Score(value, 4, items=results_table.Items(ADDRESS, "motion"))
    return [results_table.Result("a", seed, {"probe: motion": score}) for seed in seeds]


GOOD = {"keys": ["a", "b"], "groups": ["x", "x"], "outcomes": [[1, 0], [0.5, 0.5]], "log_likelihood": [[0]]}


def test_head_seeds_are_averaged_under_the_name_of_the_table(tmp_path):
    write(tmp_path, GOOD)
    found = item_scores.read(tmp_path, results(0, 1))
    assert list(found) == [("a", 0, "probe: motion"), ("a", 1, "probe: motion")]
    items = found["a", 0, "probe: motion"]
    assert (items.keys, items.groups) == (("a", "b"), ("x", "x"))
    np.testing.assert_allclose(items.values, [0.75, 0.25])


@pytest.mark.parametrize("kept", [None, {}, {"keys": ["a"], "groups": ["a"], "scores": [[[0.1]]]}])
def test_a_metric_that_is_no_mean_over_items_has_none(tmp_path, kept):
    write(tmp_path, kept)
    assert item_scores.read(tmp_path, results(0)) == {}


def test_outcomes_that_do_not_make_up_the_score_are_not_used(tmp_path):
    write(tmp_path, GOOD)
    assert item_scores.read(tmp_path, results(0, value=0.6)) == {}


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (GOOD | {"groups": ["x"]}, "expected 2 groups and outcomes"),
        (GOOD | {"outcomes": [[1, 0, 1]]}, "expected 2 groups and outcomes"),
        (GOOD | {"outcomes": [[1, "0"]]}, r"expected a number at outcomes.outcomes\[0\]\[1\]"),
        (GOOD | {"keys": 3}, "expected a list at outcomes.keys"),
    ],
)
def test_damaged_items_are_named(tmp_path, kept, words):
    write(tmp_path, kept)
    with pytest.raises(errors.UserError, match=words):
        item_scores.read(tmp_path, results(0))


def test_absurd_sizes_and_missing_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(errors.UserError, match=ADDRESS):
        item_scores.read(tmp_path, results(0))
    write(tmp_path, GOOD)
    monkeypatch.setattr(item_scores, "MOST_BYTES", 10)
    with pytest.raises(errors.UserError, match="expected at most 0 MiB of scores"):
        item_scores.read(tmp_path, results(0))
    with pytest.raises(errors.UserError, match="16 hexadecimal digits"):
        results_table.Items("../../etc/passwd", "motion")
