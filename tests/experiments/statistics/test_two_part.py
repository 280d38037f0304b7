"""The two-part interval covers new seeds and new clips; p and interval agree."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from prismlab.core import errors
from prismlab.experiments.statistics import two_part


def world(generator, n, items, seed_sd, clip_sd, noise, truth=0.0):
    """Return differences [n, items] of newly drawn seeds and clips; the truth is the mean over both."""
    seeds = generator.normal(0, seed_sd, n)[:, None]
    clips = generator.normal(0, clip_sd, items)[None, :]
    return truth + seeds + clips + generator.normal(0, noise, (n, items))


@settings(max_examples=2)
@given(
    st.sampled_from([2, 3, 6, 10]),
    st.sampled_from([50, 200, 500]),
    st.floats(0.002, 0.05),
    st.floats(0.0, 0.5),
    st.integers(0, 10**6),
)
def test_it_covers_the_truth_and_raises_few_false_alarms(n, items, seed_sd, clip_sd, seed):
    generator = np.random.default_rng(seed)
    worlds, covered = 400, 0
    for _ in range(worlds):
        found = two_part.difference(world(generator, n, items, seed_sd, clip_sd, 0.5))
        low, high = found.interval
        inside = low <= 0.0 <= high
        covered += inside
        assert (found.p < 0.05) == (not inside)
    # Wanted .93 to .985 (both parts at their own quantile cover a little more); four standard errors.
    share, error = covered / worlds, np.sqrt(0.95 * 0.05 / worlds)
    assert 0.93 - 4 * error <= share <= 0.985 + 4 * error


def test_seeds_alone_do_not_cover_new_clips():
    generator, t_covered, covered = np.random.default_rng(0), 0, 0
    for _ in range(200):
        x = world(generator, 10, 200, 0.004, 0.5, 0.3)
        t_half = stats.t.ppf(0.975, 9) * stats.sem(x.mean(axis=1))
        t_covered += abs(x.mean()) <= t_half
        covered += abs(x.mean()) <= two_part.difference(x).half
    assert t_covered < 140
    assert covered > 182


@given(st.integers(2, 8), st.integers(2, 40), st.integers(1, 9), st.integers(0, 999))
def test_p_is_where_the_interval_touches_zero(n, items, claims, seed):
    x = world(np.random.default_rng(seed), n, items, 0.1, 0.2, 0.3, truth=0.2)
    found = two_part.difference(x, claims=claims)
    low, high = found.interval
    assert (found.p < 0.05 / claims) == (low > 0 or high < 0)
    assert found.level == 1 - 0.05 / claims
    other = two_part.difference(-x, claims=claims)
    assert (other.mean, other.half) == pytest.approx((-found.mean, found.half))
    assert other.p == pytest.approx(found.p)
    assert 0 <= found.seed_share <= 1


@given(st.integers(2, 9), st.integers(0, 99))
def test_without_a_clip_part_it_is_the_paired_t_test(n, seed):
    by_seed = np.random.default_rng(seed).normal(0.1, 0.2, n)
    found = two_part.difference(np.repeat(by_seed[:, None], 7, axis=1))
    expected = stats.ttest_1samp(by_seed, 0.0)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_one_seed_has_no_p_and_no_verdict():
    found = two_part.difference(np.random.default_rng(0).normal(1, 0.1, (1, 50)))
    assert found.p is None
    assert found.verdict(0.02) is None
    assert 0 < found.half < 0.1


def test_equal_differences_leave_nothing_to_judge_by():
    found = two_part.difference(np.full((3, 1), 0.1))
    assert (found.half, found.p, found.verdict(0.02)) == (0.0, None, None)
    same = two_part.difference(np.zeros((3, 5)))
    assert (same.p, same.verdict(0.02)) == (1.0, "equal within")


@given(st.lists(st.integers(0, 5), min_size=4, max_size=20), st.integers(0, 99))
def test_groups_of_any_size_keep_the_mean_over_items(groups, seed):
    x = np.random.default_rng(seed).normal(size=(3, len(groups)))
    found = two_part.grouped(x, [str(name) for name in groups])
    assert found.shape == (3, len(set(groups)))
    np.testing.assert_allclose(found.mean(axis=1), x.mean(axis=1))


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [
        (0.05, 0.03, "separable"),
        (-0.05, 0.03, "separable"),
        (0.005, 0.01, "equal within"),
        (0.01, 0.03, "not separable"),
    ],
)
def test_the_three_verdicts(mean, half, verdict):
    found = two_part.Difference(mean, half, 0.5, 0.95, 3, 10, 0.1, 0.1)
    assert found.verdict(0.02) == verdict


@given(st.integers(0, 99), st.integers(1, 5))
def test_dependent_clips_count_once(seed, copies):
    x = world(np.random.default_rng(seed), 4, 20, 0.1, 0.3, 0.3)
    names = [str(index) for index in range(20) for _ in range(copies)]
    found = two_part.difference(two_part.grouped(np.repeat(x, copies, axis=1), names))
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(two_part.difference(x)))


@given(st.integers(3, 6), st.floats(0.005, 0.1), st.integers(0, 99))
def test_seeds_needed_are_enough_and_do_not_depend_on_the_difference(n, matters, seed):
    generator = np.random.default_rng(seed)
    x = world(generator, n, 100, 0.05, 0.05, 0.2)
    found = two_part.difference(x)
    needed = two_part.seeds_needed(found, [found], matters)
    moved = two_part.difference(x + 0.3)
    assert two_part.seeds_needed(moved, [moved], matters) == needed
    assume(needed is not None)
    t, z = stats.t.ppf(0.975, needed - 1), stats.norm.ppf(0.975)
    assert t**2 * found.seed_variance / needed + z**2 * found.clip_variance <= matters**2 * (1 + 1e-9)


def test_where_clips_are_too_few_no_number_of_seeds_is_enough():
    found = two_part.Difference(0.0, 0.1, 1.0, 0.95, 3, 10, 0.0001, 0.01)
    assert two_part.seeds_needed(found, [found], 0.02) is None


def test_bad_input_is_refused():
    with pytest.raises(errors.UserError, match=r"finite differences \[seeds, items\]"):
        two_part.difference(np.asarray([[1.0, np.nan]]))
    with pytest.raises(errors.UserError, match="a group for each of 3 items, got 2"):
        two_part.grouped(np.zeros((2, 3)), ["a", "b"])
