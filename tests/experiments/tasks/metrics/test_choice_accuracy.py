"""Accuracy of multiple choice: ties, one option, two right options, chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import choice_accuracy

ACCURACY = choice_accuracy.ChoiceAccuracy()
VALUES = st.sampled_from([0.0, 0.5, 1.0, float("nan")])


def asked(*questions: tuple[tuple[str, ...], int], path: str = "") -> items.ItemSet:
    """Return items with these options and answers; with a path, all on the same clip."""
    found = [
        items.Item(f"q{index}", path, texts=texts, answer=answer)
        for index, (texts, answer) in enumerate(questions)
    ]
    return items.ItemSet("q", tuple(found), (), load=None)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.lists(VALUES, min_size=1, max_size=5), st.integers(0, 4)), min_size=1, max_size=6)
)
def test_accuracy_is_a_count_by_hand(drawn):
    drawn = [(scores, answer % len(scores)) for scores, answer in drawn]
    found = asked(*[(tuple(map(str, range(len(scores)))), answer) for scores, answer in drawn])
    measured = ACCURACY([np.asarray(scores) for scores, _ in drawn], found)
    hits = []
    for scores, answer in drawn:
        others = [value for index, value in enumerate(scores) if index != answer]
        beaten = [value != value or scores[answer] > value for value in others]
        hits.append(not others or (scores[answer] == scores[answer] and all(beaten)))
    assert measured.value == pytest.approx(np.mean(hits))
    np.testing.assert_array_equal(measured.outcomes, hits)
    assert measured.chance == pytest.approx(np.mean([1 / len(scores) for scores, _ in drawn]))


def test_items_with_one_option_are_counted_and_left_out_of_a_second_number():
    found = asked((("a",), 0), (("a", "b"), 1), (("a", "b"), 0))
    measured = ACCURACY([np.asarray([0.0]), np.asarray([1.0, 0.0]), np.asarray([1.0, 0.0])], found)
    assert measured.value == pytest.approx(2 / 3)
    assert measured.chance == pytest.approx(2 / 3)
    assert measured.notes["items with one option"] == 1
    assert measured.notes["accuracy without items with one option"] == 0.5
    assert measured.notes["chance without items with one option"] == 0.5
    assert measured.notes["options"] == "1 to 2, mean 1.67"


def test_a_clip_with_two_right_options_is_counted():
    # Charades-STA: one segment, two descriptions, both among the options.
    both = asked((("a", "b", "c"), 0), (("a", "b", "c"), 1), path="clip.mp4")
    measured = ACCURACY([np.asarray([2.0, 1.0, 0.0])] * 2, both)
    assert measured.notes["items with two right options"] == 2
    assert "accuracy without items with two right options" not in measured.notes
    apart = asked((("a", "b", "c"), 0), (("a", "b", "c"), 1))
    assert "items with two right options" not in ACCURACY([np.asarray([2.0, 1.0, 0.0])] * 2, apart).notes
