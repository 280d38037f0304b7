"""Intervals: properties, and agreement with scipy.stats and with printed values."""

import math
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats as reference

from prismlab.experiments.statistics import results_table, stats

RECORDS = pathlib.Path(__file__).resolve().parents[3] / "experiments/records"

few = hypothesis.settings(max_examples=50, deadline=None)
number = st.floats(-1e3, 1e3, allow_subnormal=False)


@few
@hypothesis.given(st.lists(number, min_size=2, max_size=6))
def test_the_interval_contains_the_mean(values):
    found = stats.summary(values)
    low, high = found.ci95
    assert low <= found.mean <= high
    assert min(values) <= found.mean <= max(values)
    assert found.method == f"Student t over {len(values)} seeds"


def test_the_t_interval_agrees_with_scipy():
    values = [0.573, 0.466, 0.51, 0.6]
    low, high = reference.t.interval(0.95, 3, np.mean(values), reference.sem(values))
    assert stats.summary(values).ci95 == pytest.approx((low, high), abs=1e-9)


@few
@hypothesis.given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_stays_within_zero_and_one_and_contains_the_share(hits, size):
    hypothesis.assume(hits <= size)
    found = stats.summary([hits / size], [size])
    low, high = found.ci95
    assert 0.0 <= low <= found.mean <= high <= 1.0
    assert low < high
    assert found.method == f"Wilson over {size} test items, one seed"
    expected = reference.binomtest(hits, size).proportion_ci(method="wilson")
    assert [low, high] == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_rounding_does_not_push_wilson_past_the_share():
    for size in range(1, 400):
        assert stats.wilson(0.0, size)[0] == 0.0
        assert stats.wilson(1.0, size)[1] == 1.0


@pytest.mark.parametrize(("value", "sizes"), [(0.5, None), (0.5, [0]), (3.5, [100]), (-0.1, [100])])
def test_one_value_that_is_no_accuracy_has_no_interval(value, sizes):
    assert stats.summary([value], sizes) == stats.Summary(value, None, "one seed, no interval")


def test_a_diverged_seed_is_not_averaged_away():
    assert stats.summary([0.5, math.nan]).mean is None
    assert stats.summary([0.5, math.inf]).ci95 is None


def test_wilson_equals_scipy_on_whole_counts():
    for hits, size in ((0, 1), (3, 7), (61, 100), (400, 400)):
        low, high = reference.binomtest(hits, size).proportion_ci(method="wilson")
        assert stats.wilson(hits / size, size) == pytest.approx((low, high), abs=1e-12)


def test_recorded_tables_keep_their_numbers():
    table = results_table.read_table(RECORDS / "2026-11-25-reproduction-table.json")
    for row in table.rows:
        for cell in row.metrics.values():
            found = stats.summary(cell.values, cell.sizes)
            assert (found.mean, *found.ci95) == pytest.approx((cell.mean, *cell.ci95), abs=1e-12)
