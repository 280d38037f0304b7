"""Intervals and paired tests: properties, and agreement with scipy.stats and with printed values."""

import math
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import special
from scipy import stats as reference

from prismlab.experiments.report import results_table, stats

RECORDS = pathlib.Path(__file__).resolve().parents[3] / "experiments/records"

few = hypothesis.settings(max_examples=50, deadline=None)
number = st.floats(-1e3, 1e3, allow_subnormal=False)
pairs = st.lists(st.tuples(number, number), min_size=2, max_size=6)


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


@few
@hypothesis.given(pairs)
def test_paired_is_antisymmetric(values):
    a, b = zip(*values)
    one, other = stats.paired(a, b), stats.paired(b, a)
    assert one.difference == -other.difference
    assert one.ci95 == (-other.ci95[1], -other.ci95[0])
    assert one.p == other.p


@few
@hypothesis.given(
    st.lists(st.tuples(*[st.integers(-999, 999)] * 2), min_size=2, max_size=6), st.integers(-999, 999)
)
def test_paired_does_not_change_when_both_rows_move_together(values, shift):
    a, b = zip(*values)
    assert stats.paired(a, b) == stats.paired([x + shift for x in a], [x + shift for x in b])


@few
@hypothesis.given(pairs)
def test_p_and_the_interval_tell_the_same(values):
    found = stats.paired(*zip(*values))
    low, high = found.ci95
    assert low <= found.difference <= high
    if found.p is not None and abs(found.p - 0.05) > 1e-6:
        assert (found.p < 0.05) == (low > 0 or high < 0)


def test_paired_agrees_with_scipy():
    a, b = [0.613, 0.553, 0.60, 0.58], [0.573, 0.466, 0.59, 0.585]
    expected = reference.ttest_rel(a, b)
    found = stats.paired(a, b)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.ci95 == pytest.approx(tuple(expected.confidence_interval()), abs=1e-9)
    assert found.n == 4


def formulas(a, b):
    """Mean difference, half-width and p of a paired t test, written out with exact sums."""
    differences = [x - y for x, y in zip(a, b)]
    count = len(differences)
    mean = math.fsum(differences) / count
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (count - 1) / count)
    return mean, special.stdtrit(count - 1, 0.975) * error, 2 * special.stdtr(count - 1, -abs(mean) / error)


@few
@hypothesis.given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
def test_numbers_equal_the_formulas_written_out(values):
    a, b = zip(*values)
    hypothesis.assume(np.ptp(np.subtract(a, b)) > 1e-3 and np.ptp(a) > 0)
    found = stats.paired(a, b)
    mean, half, p = formulas(a, b)
    assert (found.difference, *found.ci95) == pytest.approx((mean, mean - half, mean + half), abs=1e-12)
    assert found.p == pytest.approx(p, abs=1e-12)
    mean, half, _ = formulas(a, [0.0] * len(a))
    assert stats.summary(a).ci95 == pytest.approx((mean - half, mean + half), abs=1e-12)


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
    rows = {row.label: row for row in table.rows}
    for entry in table.paired:
        a, b = (
            [dict(zip(rows[label].seeds, rows[label].metrics[entry.metric].values))[s] for s in entry.seeds]
            for label in (entry.row, entry.reference)
        )
        found = stats.paired(a, b)
        assert (found.difference, found.p) == pytest.approx((entry.difference, entry.p), abs=1e-12)


def test_few_pairs_or_no_spread_are_not_tested():
    assert stats.paired([], []) == stats.Paired(None, None, None, 0)
    assert stats.paired([0.75], [0.5]) == stats.Paired(0.25, None, None, 1)
    assert stats.paired([0.3, 0.4, 0.7], [0.1, 0.2, 0.5]).p is None
    assert stats.paired([0.3, 0.4], [0.3, 0.4]).p == 1.0


def test_holm_by_hand():
    assert stats.holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.03, None, 0.06, 0.06, 0.02])


@few
@hypothesis.given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_never_lowers_and_keeps_the_order(ps):
    adjusted = stats.holm(ps)
    both = [(p, q) for p, q in zip(ps, adjusted) if p is not None]
    assert all(p <= q <= 1.0 for p, q in both)
    assert [q for _, q in sorted(both)] == sorted(q for _, q in both)
    assert [p is None for p in ps] == [q is None for q in adjusted]
