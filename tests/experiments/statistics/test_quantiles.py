"""Quantiles have the bits of `scipy.stats`."""

import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prismlab.experiments.statistics import quantiles

SHARES = st.floats(1e-15, 1.0, exclude_max=True)


@given(SHARES, st.integers(1, 10_000))
def test_they_are_those_of_scipy(share, freedom):
    assert quantiles.normal(share) == scipy.stats.norm.ppf(share)
    assert quantiles.student(share, freedom) == scipy.stats.t.ppf(share, freedom)
