"""Exact match: case, blanks and a final period do not count, every word does."""

import pytest

from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics.answers import exact_match


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [("Man.", ("man",), 1), ("  ice  cream", ("ice cream",), 1), ("ice", ("ice cream",), 0),
     ("", ("man",), 0),
     ("to relax", ("to rest", "to relax"), 1), ("men", ("man",), 0)],
)  # fmt: skip
def test_an_answer_is_right_if_it_equals_a_reference(said, right, expected):
    made = exact_match.ExactMatch()([said], [texts.Reference("q", "c", right)])
    assert made.value == expected
    assert made.notes == {}


def test_types_are_scored_apart_in_the_notes():
    right = [texts.Reference(str(n), "c", ("a",), kind) for n, kind in enumerate(("who", "who", "what"))]
    made = exact_match.ExactMatch()(["a", "b", "a"], right)
    assert made.notes == {"by type": "what 1.000, who 0.500"}
    assert made.outcomes.tolist() == [1, 0, 1]
