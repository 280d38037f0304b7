"""Means and confidence intervals over seeds, where the outcomes of single items are not known.

All intervals are two-sided 95 % intervals. Seeds are the unit of replication: an interval over seeds covers
the variation between seeds, a Wilson interval over test items only the sampling of test items.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from prismlab.core import errors
from prismlab.experiments.statistics import quantiles

_TAIL = 0.975


@dataclasses.dataclass(frozen=True)
class Summary:
    """A mean with its interval (low, high), and a description of the method."""

    mean: float | None
    ci95: tuple[float, float] | None
    method: str


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
    z = quantiles.normal(_TAIL)
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
        half = quantiles.student(_TAIL, count - 1) * (float(np.std(values, ddof=1)) / math.sqrt(count))
        return Summary(mean, (mean - half, mean + half), f"Student t over {count} seeds")
    if sizes is not None and sizes[0] > 0 and 0.0 <= mean <= 1.0:
        method = f"Wilson over {sizes[0]} test items, one seed"
        return Summary(mean, wilson(mean, sizes[0]), method)
    return Summary(mean, None, "one seed, no interval")
