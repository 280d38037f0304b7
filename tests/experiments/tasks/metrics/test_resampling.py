"""Intervals of metrics that are no mean: exact for a mean, whole groups, the coverage named."""

import numpy as np
import pytest
from scipy import stats

from prismlab.core import errors
from prismlab.experiments.tasks.metrics import average_precision, resampling
from prismlab.experiments.tasks.metrics.ranking import retrieved


def names(count, per_group=1):
    return [f"g{index // per_group}" for index in range(count)]


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).random(40)
    found = resampling.jackknife(lambda rows: float(values[rows].mean()), names(40))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40))
    assert found.method == "jackknife over 40 test sets without one group of items"


def test_the_bootstrap_of_a_mean_is_close_to_its_standard_error():
    values = np.random.default_rng(0).random(200)
    found = resampling.bootstrap(lambda rows: float(values[rows].mean()), names(200))
    assert found.half == pytest.approx(1.96 * values.std() / np.sqrt(200), rel=0.1)


@pytest.mark.parametrize("method", [resampling.jackknife, resampling.bootstrap])
def test_items_of_one_group_count_once(method):
    values = np.random.default_rng(1).random(30)
    once = method(lambda rows: float(values[rows].mean()), names(30)).half
    copied = np.repeat(values, 4)
    groups = [f"g{index // 4}" for index in range(120)]
    assert method(lambda rows: float(copied[rows].mean()), groups).half == pytest.approx(once)
    assert method(lambda rows: 0.0, ["one"] * 5) is None


@pytest.mark.parametrize("method", [resampling.jackknife, resampling.bootstrap])
def test_a_metric_that_never_changes_has_no_interval_of_zero(method):
    assert method(lambda rows: 1.0, names(5)) is None


def test_parts_mix_items_that_files_list_class_by_class():
    values = np.repeat([0.0, 1.0], 500)
    found = resampling.jackknife(lambda rows: float(values[rows].mean()), names(1000))
    assert found.method == "jackknife over 50 test sets without a part of the groups of items"
    assert found.half == pytest.approx(1.96 * 0.5 / np.sqrt(1000), rel=0.4)


def test_a_metric_without_a_value_on_a_part_has_no_interval():
    def value(rows):
        if 3 not in rows:
            raise errors.UserError("no item has a class that counts")
        return 1.0

    assert resampling.jackknife(value, names(9)) is None


def test_the_interval_of_an_average_precision_covers_that_of_new_items():
    rng = np.random.default_rng(2)

    def drawn(count):
        positive = rng.random(count) < 0.3
        return rng.standard_normal(count) + positive, positive

    truth = average_precision.step(*drawn(200_000))
    inside = 0
    for _ in range(100):
        scores, positive = drawn(150)
        value = lambda rows, s=scores, p=positive: average_precision.step(s[rows], p[rows])
        half = resampling.jackknife(value, names(150)).half
        inside += abs(average_precision.step(scores, positive) - truth) <= half
    assert inside >= 87  # 95 are expected; fewer than 87 have probability .001


def test_a_median_rank_has_the_bootstrap_s_interval():
    rng = np.random.default_rng(3)
    ranks = rng.integers(1, 40, size=100)
    found = retrieved.Retrieved(ranks, ranks, np.ones_like(ranks), 40)
    half = resampling.bootstrap(lambda rows: float(np.median(found.take(rows).worst)), names(100)).half
    exact = stats.quantile_test(ranks, q=ranks[50], p=0.5).confidence_interval(0.95)
    assert half == pytest.approx((exact.high - exact.low) / 2, rel=0.5)
