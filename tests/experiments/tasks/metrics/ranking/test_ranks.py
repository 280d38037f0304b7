"""Ranks of retrieval against a count by hand, with ties, several right candidates and broken numbers."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.metrics.ranking import median_rank, ranks, recall, retrieved

quick = settings(max_examples=100, deadline=None)
VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan"), float("inf")])


@st.composite
def queries(draw):
    """Draw similarities with many ties, and the right candidates of each query."""
    count, candidates = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    similarity = np.asarray(draw(st.lists(VALUES, min_size=count * candidates, max_size=count * candidates)))
    some = st.sets(st.integers(0, candidates - 1), min_size=1).map(sorted)
    return similarity.reshape(count, candidates), [draw(some) for _ in range(count)]


@quick
@given(queries(), st.integers(1, 7))
def test_ranks_are_those_of_all_orders_of_tied_candidates(drawn, k):
    similarity, right = drawn
    found = retrieved.Retrieved.of(similarity, right)
    clean = np.where(np.isfinite(similarity), similarity, -1.0)
    for row, own in enumerate(right):
        orders = [
            sorted(tie, key=lambda candidate: -clean[row, candidate])
            for tie in itertools.permutations(range(clean.shape[1]))
        ]
        # Ties among right candidates do no harm: count wrong candidates before the first right one.
        before = [next(i for i, c in enumerate(order) if c in own) for order in orders]
        assert found.worst[row] == 1 + max(before)
        assert found.best[row] == 1 + min(before)
    hits = recall.RecallAt(k)(found)
    assert hits.value == np.mean(found.worst <= k)
    np.testing.assert_array_equal(hits.outcomes, found.worst <= k)
    assert median_rank.MedianRank()(found).value == statistics.median(found.worst.tolist())


@quick
@given(queries())
def test_chunks_give_the_same_ranks(drawn):
    similarity, right = drawn
    whole, kept = ranks.ranks(similarity, right), ranks.CHUNK
    ranks.CHUNK = 1
    try:
        parts = ranks.ranks(similarity, right)
    finally:
        ranks.CHUNK = kept
    np.testing.assert_array_equal(whole, parts)


@quick
@given(st.integers(1, 6), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 8))
def test_chance_of_recall_is_that_of_all_subsets(candidates, right, k):
    right = [min(each, candidates) for each in right]
    expected = []
    for count in right:
        subsets = list(itertools.combinations(range(candidates), min(k, candidates)))
        expected.append(np.mean([min(subset) < count for subset in subsets]))
    assert ranks.chance_of_recall(k, np.asarray(right), candidates) == pytest.approx(np.mean(expected))


def test_a_collapsed_encoder_never_hits_and_says_what_luck_would_give():
    found = retrieved.Retrieved.of(np.ones((4, 4)), [[i] for i in range(4)])
    for metric, value, lucky in ((recall.RecallAt(1), 0.0, 1.0), (median_rank.MedianRank(), 4.0, 1.0)):
        measured = metric(found)
        assert (measured.value, measured.notes) == (value, {"ties as hits": lucky})


def test_the_median_of_an_even_number_of_queries_may_end_in_a_half():
    similarity = np.asarray([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3]])
    found = retrieved.Retrieved.of(similarity, [[0], [1]])
    assert median_rank.MedianRank()(found).value == 1.5
    assert median_rank.MedianRank()(found).chance == 2.0


def test_recall_at_0_is_refused():
    with pytest.raises(errors.UserError, match="k of 1 or more, got 0"):
        recall.RecallAt(0)
