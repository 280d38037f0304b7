"""Average precision against brute force, scikit-learn and hand-computed corner cases."""

import itertools

import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import average_precision as ap

# Few distinct scores, so that most examples have ties.
ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), st.booleans()), min_size=1, max_size=12
)
quick = hypothesis.settings(max_examples=100, deadline=None)


def columns(rows):
    scores, positive = zip(*rows)
    return np.asarray(scores), np.asarray(positive)


def item_set(truth, background=None):
    names = tuple("abcdefgh"[: truth.shape[1]])
    found = tuple(
        items.Item(f"{index}", labels=tuple(np.flatnonzero(row).tolist())) for index, row in enumerate(truth)
    )
    return items.ItemSet("t", found, names, load=None, multi_label=True, background=background)


def by_hand(scores, positive):
    """Sum precision x rise of recall over the distinct scores, one loop for each."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        taken = scores >= threshold
        recall = (taken & positive).sum() / positive.sum()
        total += (recall - before) * (taken & positive).sum() / taken.sum()
        before = recall
    return total


@quick
@hypothesis.given(ROWS)
def test_step_equals_brute_force_and_scikit_learn(rows):
    scores, positive = columns(rows)
    if not positive.any():
        assert np.isnan(ap.step(scores, positive))
        return
    assert ap.step(scores, positive) == pytest.approx(by_hand(scores, positive))
    assert ap.step(scores, positive) == pytest.approx(
        sklearn.metrics.average_precision_score(positive, scores)
    )


@quick
@hypothesis.given(ROWS, st.randoms(use_true_random=False))
def test_step_does_not_depend_on_the_order_of_items_nor_on_the_scale_of_scores(rows, random):
    value = ap.step(*columns(rows))
    random.shuffle(rows)
    scores, positive = columns(rows)
    np.testing.assert_allclose(ap.step(scores, positive), value)
    np.testing.assert_allclose(ap.step(10 * scores - 3, positive), value)


@quick
@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=10))
def test_without_ties_step_is_the_mean_precision_at_the_positives(flags):
    positive, scores = np.asarray(flags), np.linspace(1, 0, len(flags))
    np.testing.assert_allclose(ap.step(scores, positive), ap.at_positives(scores, positive))


def test_ties_are_one_threshold_in_step_and_keep_the_item_order_in_charades():
    scores = np.full(4, 0.5)
    first, last = np.eye(4, dtype=bool)[[0, 3]]
    assert ap.step(scores, first) == ap.step(scores, last) == 0.25
    assert (ap.at_positives(scores, first), ap.at_positives(scores, last)) == (1.0, 0.25)


def test_a_score_that_is_not_finite_is_lowest():
    positive = np.asarray([True, False, False])
    for bad in (np.nan, np.inf, -np.inf):
        assert ap.step(np.asarray([bad, 0.1, 0.2]), positive) == pytest.approx(1 / 3)
        assert ap.at_positives(np.asarray([bad, 0.1, 0.2]), positive) == pytest.approx(1 / 3)
        assert ap.bucketed(np.asarray([bad, 0.1, 0.2]), positive) < 0.4


def test_expected_is_the_mean_over_all_orders():
    for n, positives in ((1, 1), (4, 1), (5, 2), (5, 5)):
        ranking = -np.arange(float(n))
        every = [
            ap.step(ranking, np.isin(np.arange(n), chosen))
            for chosen in itertools.combinations(range(n), positives)
        ]
        assert ap.expected(n, positives) == pytest.approx(np.mean(every))


def test_keras_follows_its_interpolation_at_200_thresholds():
    # The class is above threshold 0 with all, above .5 with one positive and one negative, above .9 with one
    # positive: (gain + intercept x log ratio) x slope of the segments 3 -> 2 and 2 -> 1, and 1 of the last.
    scores, positive = np.asarray([0.95, 0.7, 0.2]), np.asarray([True, False, True])
    segments = [1.0 * (1.0 + (1 - 1.0 * 2) * np.log(3 / 2)), 0.0, 1.0]
    assert ap.bucketed(scores, positive) == pytest.approx(sum(segments) / 2)
    assert ap.bucketed(np.asarray([0.9, 0.1]), np.asarray([True, False])) == pytest.approx(1.0)
    # Both fall in one bucket: the order within it is lost.
    assert ap.bucketed(np.asarray([0.5004, 0.5003]), np.asarray([True, False])) == pytest.approx(0.5)
    assert ap.step(np.asarray([0.5004, 0.5003]), np.asarray([True, False])) == 1.0
    # A score equal to a threshold is not above it.
    edge = ap.KERAS_THRESHOLDS[100]
    assert ap.bucketed(np.asarray([edge, edge + 1e-3]), np.asarray([True, False])) == pytest.approx(
        1 - np.log(2)
    )
    with pytest.raises(errors.UserError, match="needs probabilities, got scores from -2 to 3"):
        ap.bucketed(np.asarray([-2.0, 3.0]), np.asarray([True, False]))


def test_a_class_without_positives_is_left_out_or_counts_0_and_is_named():
    truth = np.asarray([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    found, scores = item_set(truth), truth.astype(float)
    values = {variant: ap.MeanAveragePrecision(variant)(scores, found) for variant in ap.VARIANTS}
    assert {variant: one.value for variant, one in values.items()} == {
        "step": 1.0, "charades": 1.0, "sklearn": pytest.approx(2 / 3), "keras": pytest.approx(2 / 3),
    }  # fmt: skip
    assert all(one.notes["classes without positives"] == ["c"] for one in values.values())
    with pytest.warns(UserWarning, match="No positive class"):
        oracle = sklearn.metrics.average_precision_score(truth, scores, average="macro")
    assert values["sklearn"].value == pytest.approx(oracle)


def test_the_background_class_is_left_out_unless_asked_for():
    truth = np.asarray([[1, 0], [0, 1], [0, 1]])
    scores = np.asarray([[0.9, 0.2], [0.1, 0.1], [0.2, 0.3]])
    found = item_set(truth, background=1)
    without = ap.MeanAveragePrecision()(scores, found)
    assert without.value == 1.0
    assert without.notes["left out"] == ["b"]
    assert ap.MeanAveragePrecision(with_background=True)(scores, found).value < 1.0


def test_charades_ranks_items_without_labels_last():
    truth = np.asarray([[0, 0], [1, 0], [0, 1]])
    scores = np.asarray([[0.9, 0.9], [0.5, 0.1], [0.1, 0.5]])
    assert ap.MeanAveragePrecision("charades")(scores, item_set(truth)).value == 1.0
    assert ap.MeanAveragePrecision("step")(scores, item_set(truth)).value == 0.5


def test_labels_without_a_counted_class_are_refused():
    with pytest.raises(errors.UserError, match="no item has a class that counts"):
        ap.MeanAveragePrecision()(np.zeros((2, 2)), item_set(np.asarray([[0, 1], [0, 0]]), background=1))
    with pytest.raises(errors.UserError, match="variant must be one of"):
        ap.MeanAveragePrecision("voc")


@pytest.mark.parametrize("variant", ap.VARIANTS)
def test_the_truth_scores_1_and_shuffled_labels_score_chance(variant):
    rng = np.random.default_rng(0)
    truth = rng.random((400, 8)) < 0.3
    metric = ap.MeanAveragePrecision(variant)
    assert metric(0.01 + 0.98 * truth, item_set(truth)).value == pytest.approx(1.0)
    shuffled = metric(rng.random((400, 8)), item_set(truth))
    assert shuffled.chance is not None
    assert abs(shuffled.value - shuffled.chance) < 0.03
