"""Accuracies against brute force and scikit-learn; ties, absent classes, scores that are not finite."""

import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import accuracy

quick = hypothesis.settings(max_examples=60, deadline=None)


def item_set(targets, classes=4, background=None):
    found = tuple(items.Item(f"{index}", labels=(int(target),)) for index, target in enumerate(targets))
    return items.ItemSet("t", found, tuple("abcdefgh"[:classes]), load=None, background=background)


@quick
@hypothesis.given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 12))
def test_top_k_equals_scikit_learn_without_ties(seed, k, n):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(4, size=n), rng.permuted(np.tile(np.arange(4.0), (n, 1)), axis=1)
    found = accuracy.TopK(k)(scores, item_set(targets))
    if k < 4:  # scikit-learn warns that k = all classes is always right
        oracle = sklearn.metrics.top_k_accuracy_score(targets, scores, k=k, labels=range(4))
        assert found.value == pytest.approx(oracle)
    else:
        assert found.value == 1.0
    assert found.chance == k / 4
    assert found.value == found.outcomes.mean()


@quick
@hypothesis.given(st.integers(0, 2**31), st.integers(1, 12))
def test_ties_count_as_misses(seed, n):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(4, size=n), rng.integers(2, size=(n, 4)).astype(float)
    right = [all(row[t] > row[c] for c in range(4) if c != t) for row, t in zip(scores, targets)]
    assert accuracy.TopK(1)(scores, item_set(targets)).outcomes.tolist() == right


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@quick
@hypothesis.given(st.integers(0, 2**31), st.integers(1, 12))
def test_macro_accuracy_equals_the_balanced_accuracy_of_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    targets, scores = rng.integers(4, size=n), rng.permuted(np.tile(np.arange(4.0), (n, 1)), axis=1)
    oracle = sklearn.metrics.balanced_accuracy_score(targets, scores.argmax(1))
    assert accuracy.ClassAccuracy()(scores, item_set(targets)).value == pytest.approx(oracle)


def test_absent_and_background_classes_are_left_out_and_named():
    scores = np.eye(4)[[0, 1, 1, 3]]
    found = accuracy.ClassAccuracy()(scores, item_set([0, 1, 0, 3], background=3))
    assert found.value == pytest.approx((0.5 + 1.0) / 2)
    assert found.notes == {"absent classes": ["c"], "left out": ["d"]}
    with pytest.raises(errors.UserError, match="no item has a class that counts"):
        accuracy.ClassAccuracy()(scores, item_set([3, 3, 3, 3], background=3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_last(bad):
    assert accuracy.TopK(1)(np.asarray([[bad, 0.0, 0.1, 0.2]]), item_set([0])).value == 0.0
    assert accuracy.TopK(1)(np.asarray([[bad, 0.0, 0.1, 0.2]]), item_set([3])).value == 1.0


def test_label_sets_are_scored_alone_and_together():
    found = tuple(items.Item(f"{i}", labels=labels) for i, labels in enumerate([(0, 2), (0, 3), (1, 4)]))
    sets = (("verb", 2), ("noun", 3))
    found = items.ItemSet("t", found, tuple("abcde"), load=None, label_sets=sets)
    scores = np.asarray([[0.9, 0.1, 1, 0, 0], [0.9, 0.1, 1, 0, 0], [0.9, 0.1, 0, 0, 1]])
    values = {name: accuracy.TopK(1, name)(scores, found) for name in ("verb", "noun", "")}
    assert values["verb"].outcomes.tolist() == [1, 1, 0]
    assert values["noun"].outcomes.tolist() == [1, 0, 1]
    assert values[""].outcomes.tolist() == [1, 0, 0]
    assert accuracy.ClassAccuracy("noun")(scores, found).value == pytest.approx(2 / 3)
    with pytest.raises(errors.UserError, match="name one of them in the metric's label_set"):
        accuracy.ClassAccuracy()(scores, found)
    with pytest.raises(errors.UserError, match="has no label set 'colour'"):
        accuracy.TopK(1, "colour")(scores, found)


def test_accuracy_of_items_with_several_labels_is_refused():
    found = items.ItemSet("t", (items.Item("a", labels=()),), ("a", "b"), load=None, multi_label=True)
    with pytest.raises(errors.UserError, match="use a metric such as average_precision"):
        accuracy.TopK(1)(np.zeros((1, 2)), found)


def test_the_truth_is_right_and_shuffled_labels_are_at_chance():
    rng = np.random.default_rng(0)
    targets = rng.integers(4, size=400)
    for metric in (accuracy.TopK(1), accuracy.ClassAccuracy()):
        assert metric(np.eye(4)[targets], item_set(targets)).value == 1.0
        shuffled = metric(rng.random((400, 4)), item_set(targets))
        assert abs(shuffled.value - shuffled.chance) < 3 * np.sqrt(0.25 * 0.75 / 400)
