"""Quantiles, and the interval over seeds that is made of them, have the bits of `scipy.stats`."""

import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prismlab.experiments.statistics import quantiles, stats

SHARES = st.floats(1e-15, 1.0, exclude_max=True)


@given(SHARES, st.integers(1, 10_000))
def test_they_are_those_of_scipy(share, freedom):
    assert quantiles.normal(share) == scipy.stats.norm.ppf(share)
    assert quantiles.student(share, freedom) == scipy.stats.t.ppf(share, freedom)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9))
def test_the_interval_over_seeds_is_that_of_scipy(values):
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values))
    found = stats.summary(values)
    assert found.ci95 == (found.mean - half, found.mean + half)
