"""Means, confidence intervals and paired tests over seeds.

All intervals are two-sided 95 % intervals. Seeds are the unit of replication: an interval over seeds covers
the variation between seeds, a Wilson interval over test items only the sampling of test items.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from prismlab.core import errors

_TAIL = 0.975


@dataclasses.dataclass(frozen=True)
class Summary:
    """A mean with its interval (low, high), and a description of the method."""

    mean: float | None
    ci95: tuple[float, float] | None
    method: str


@dataclasses.dataclass(frozen=True)
class Paired:
    """A mean difference over shared seeds, its interval (low, high), two-sided p and the number of pairs."""

    difference: float | None
    ci95: tuple[float, float] | None
    p: float | None
    n: int


def wilson(share: float, size: int) -> tuple[float, float]:
    """Return the Wilson score interval of a binomial proportion.

    `scipy.stats.binomtest` has this interval for a whole number of successes only; the mean of several views
    or seeds is none.

    Args:
        share: fraction of successes, in [0, 1].
        size: number of independent trials, > 0.

    Returns:
        (low, high) within [0, 1].

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not 0.0 <= share <= 1.0 or size <= 0:
        raise errors.UserError(f"expected a share in [0, 1] of at least one trial, got {share} of {size}")
    z = float(stats.norm.ppf(_TAIL))
    scale = 1.0 + z * z / size
    centre = (share + z * z / (2 * size)) / scale
    half = z * math.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2) / scale
    # Rounding must not exclude the share, which the exact interval always contains.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _mean(values: Sequence[float]) -> float:
    # Rounding must not push the mean out of the range of the values.
    return min(max(float(np.mean(values)), min(values)), max(values))


def summary(values: Sequence[float], sizes: Sequence[int] | None = None) -> Summary:
    """Return the mean over seeds with its 95 % interval.

    Args:
        values: one number per seed, at least one.
        sizes: number of test items of each value, if the values are accuracies in [0, 1].

    Returns:
        Student's t interval over two or more seeds; the Wilson interval over test items for one accuracy;
        otherwise no interval. If a value is not finite, neither mean nor interval.
    """
    if not values or (sizes is not None and len(sizes) != len(values)):
        raise errors.UserError(f"expected values, and one size for each, got {values} and {sizes}")
    if not all(map(math.isfinite, values)):
        return Summary(None, None, "a value is not finite")
    mean = _mean(values)
    count = len(values)
    if count > 1:
        half = float(stats.t.ppf(_TAIL, count - 1) * stats.sem(values))
        return Summary(mean, (mean - half, mean + half), f"Student t over {count} seeds")
    if sizes is not None and sizes[0] > 0 and 0.0 <= mean <= 1.0:
        method = f"Wilson over {sizes[0]} test items, one seed"
        return Summary(mean, wilson(mean, sizes[0]), method)
    return Summary(mean, None, "one seed, no interval")


def paired(values_a: Sequence[float], values_b: Sequence[float]) -> Paired:
    """Return the mean of a - b over shared seeds, with a paired t interval and p value.

    Args:
        values_a: one number per seed.
        values_b: the same seeds in the same order.

    Returns:
        With fewer than two pairs, the interval and p are None. If all differences are equal and not zero, t
        is undefined: the interval has width 0 and p is None.
    """
    if len(values_a) != len(values_b):
        raise errors.UserError(f"expected pairs of values, got {len(values_a)} and {len(values_b)}")
    differences = [a - b for a, b in zip(values_a, values_b)]
    count = len(differences)
    if count == 0 or not all(map(math.isfinite, differences)):
        return Paired(None, None, None, count)
    mean = _mean(differences)
    if count == 1:
        return Paired(mean, None, None, 1)
    error = float(stats.sem(differences))
    half = float(stats.t.ppf(_TAIL, count - 1)) * error
    # Treat a spread within the rounding error of a - b as zero; it would give a spuriously huge t.
    rounding = 1e-12 * max(abs(value) for value in (*values_a, *values_b))
    if error <= rounding:
        p = 1.0 if abs(mean) <= rounding else None
    else:
        p = float(stats.ttest_rel(values_a, values_b).pvalue)
    return Paired(mean, (mean - half, mean + half), p, count)


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjust p values for multiple comparisons by Holm's step-down method.

    Args:
        ps: p values in [0, 1]; None for a comparison that was not tested, which is not counted.

    Returns:
        Adjusted p values in the same order, None for None.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    tested = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = highest
    return adjusted
