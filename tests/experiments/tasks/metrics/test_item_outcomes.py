"""What is kept of items: log-likelihoods by hand, and enough to compute a metric again."""

import numpy as np
import pytest

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import accuracy, average_precision, item_outcomes

CLASSES = ("a", "b", "c")
SCORES = np.asarray([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)


def item_set(*labels, **settings):
    found = tuple(items.Item(f"i{index}", labels=each) for index, each in enumerate(labels))
    return items.ItemSet("t", found, CLASSES, load=None, **settings)


def test_the_log_likelihood_of_each_kind_of_labels():
    single = item_outcomes.log_likelihood(SCORES, item_set((0,), (1,)))
    np.testing.assert_allclose(single, np.log([0.7, 0.1]), rtol=1e-6)
    many = item_outcomes.log_likelihood(SCORES, item_set((0, 1), (), multi_label=True))
    np.testing.assert_allclose(many, [np.log(0.7 * 0.2 * 0.9), np.log(0.9 * 0.9 * 0.2)], rtol=1e-5)
    sets = item_outcomes.log_likelihood(SCORES, item_set((0, 2), (1, 2), label_sets=(("x", 2), ("y", 1))))
    np.testing.assert_allclose(sets, np.log([0.7 * 0.1, 0.1 * 0.8]), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_an_impossible_label_has_a_finite_log_likelihood(bad):
    found = item_outcomes.log_likelihood(np.asarray([[bad, 1.0, 0.0]]), item_set((0,)))
    assert found[0] == pytest.approx(np.log(1e-12))


def test_a_mean_keeps_outcomes_and_another_metric_what_it_is_computed_from(monkeypatch):
    found = item_set((0,), (1,))
    scores = np.stack([SCORES, SCORES[::-1]])
    mean = [accuracy.TopK(1)(each, found) for each in scores]
    kept = item_outcomes.of(scores, found, mean, accuracy.TopK(1))
    assert kept["keys"] == kept["groups"] == ["i0", "i1"]
    assert kept["outcomes"] == [[1.0, 0.0], [0.0, 0.0]]
    assert "scores" not in kept
    metric = average_precision.MeanAveragePrecision()
    made = [metric(each, found) for each in scores]
    kept = item_outcomes.of(scores, found, made, metric)
    assert "outcomes" not in kept
    again = item_set(*map(tuple, kept["labels"]))
    assert [metric(np.asarray(each), again).value for each in kept["scores"]] == [one.value for one in made]
    monkeypatch.setattr(item_outcomes, "MOST_SCORES", 11)
    assert "scores" not in item_outcomes.of(scores, found, made, metric)


def test_a_metric_that_is_no_mean_gets_a_jackknife_over_head_seeds_together():
    rng = np.random.default_rng(0)
    found = item_set(*[(int(label),) for label in rng.integers(3, size=90)])
    scores = rng.random((2, 90, 3), np.float32)
    metric = accuracy.ClassAccuracy()
    kept = item_outcomes.interval_of(metric, scores, found)
    assert kept["interval by"].startswith("jackknife over 50 test sets")
    assert 0.03 < kept["interval"] < 0.2
    copied = item_outcomes.interval_of(metric, scores[[0, 0]], found)
    assert copied["interval"] == pytest.approx(
        item_outcomes.interval_of(metric, scores[:1], found)["interval"]
    )
