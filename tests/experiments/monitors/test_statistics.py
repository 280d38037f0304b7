"""Statistics of features against their definitions and their invariances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.monitors import statistics

SHAPES = st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))


def drawn(shape):
    n, d, seed = shape
    return np.random.default_rng(seed).normal(size=(n, d)), np.random.default_rng(seed + 1)


def rotation(generator, d):
    return np.linalg.qr(generator.normal(size=(d, d)))[0]


@given(SHAPES)
def test_effective_rank_is_bounded_and_does_not_depend_on_rotation_or_scale(shape):
    x, generator = drawn(shape)
    rank = statistics.effective_rank(x)
    assert 1 - 1e-9 <= rank <= min(x.shape) + 1e-9
    assert statistics.effective_rank(3 * x @ rotation(generator, x.shape[1])) == pytest.approx(rank)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_effective_rank_counts_equal_directions(k):
    x = np.zeros((10, 8))
    x[np.arange(k), np.arange(k)] = 2.0
    assert statistics.effective_rank(x) == pytest.approx(k)


def test_constant_features_have_no_deviation_and_zeros_have_rank_one():
    assert statistics.feature_deviation(np.ones((9, 4))) == pytest.approx(0, abs=1e-9)
    assert statistics.effective_rank(np.zeros((9, 4))) == 1.0
    even = np.random.default_rng(0).normal(size=(4000, 64))
    assert statistics.feature_deviation(even) == pytest.approx(1, abs=0.02)


@given(SHAPES)
def test_alignment_ignores_rotation_scale_and_shift(shape):
    x, generator = drawn(shape)
    moved = 5 * x @ rotation(generator, x.shape[1]) + generator.normal(size=x.shape[1])
    assert statistics.linear_cka(x, moved) == pytest.approx(1.0)
    other = generator.normal(size=(len(x), 3))
    aligned = statistics.linear_cka(x, other)
    assert 0 <= aligned <= 1 + 1e-9
    assert statistics.linear_cka(other, x) == pytest.approx(aligned)
    # The definition with cross-covariances instead of Gram matrices.
    a, b = x - x.mean(0), other - other.mean(0)
    defined = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert aligned == pytest.approx(defined)


def test_alignment_with_constant_features_is_zero():
    assert statistics.linear_cka(np.ones((5, 3)), np.random.default_rng(0).normal(size=(5, 2))) == 0.0


@given(st.integers(1, 30), st.integers(0, 99))
def test_nearest_accuracy_equals_a_plain_vote(neighbours, seed):
    generator = np.random.default_rng(seed)
    bank, queries = generator.normal(size=(12, 3)), generator.normal(size=(7, 3))
    labels, wanted = generator.integers(0, 3, 12), generator.integers(0, 3, 7)
    right = 0
    for query, label in zip(queries, wanted):
        cosine = [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in bank]
        near = [labels[i] for i in sorted(range(12), key=lambda i: -cosine[i])[:neighbours]]
        right += max(dict.fromkeys(near), key=near.count) == label
    found = statistics.nearest_accuracy(bank, labels, queries, wanted, neighbours)
    assert found == pytest.approx(right / 7)


def test_the_truth_is_classified_and_shuffled_labels_are_not():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 400)
    oracle = np.eye(4)[labels] + 0.01 * generator.normal(size=(400, 4))
    args = oracle[:200], labels[:200], oracle[200:], labels[200:]
    assert statistics.nearest_accuracy(*args, 5) == 1.0
    shuffled = generator.permutation(labels[200:])
    chance = statistics.nearest_accuracy(*args[:3], shuffled, 5)
    assert abs(chance - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 200)


def test_no_neighbours_are_refused():
    with pytest.raises(errors.UserError, match="neighbours must be at least 1, got 0"):
        statistics.nearest_accuracy(np.ones((2, 2)), np.zeros(2, int), np.ones((2, 2)), np.zeros(2, int), 0)
