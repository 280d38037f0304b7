"""Two-part interval of a paired difference: over new training seeds and over new test clips.

An interval over seeds alone speaks of other seeds on the same test clips: the more seeds, the more it
understates what another test set would change. Here the clips are a second random factor, crossed with the
seeds. The seed part has few degrees of freedom and gets Student's t; the clip part gets the normal quantile.

Source: crossed analysis of variance of readers and cases (Obuchowski and Rockette 1995, Hillis 2007), with
seeds as readers and clips as cases; the two parts are added with a quantile each.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # its parts are imported at their first use
from jaxtyping import Float

from prismlab.core import errors
from prismlab.experiments.statistics import quantiles

SEPARABLE, EQUAL, NOT_SEPARABLE = "separable", "equal within", "not separable"


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference with its interval.

    Args:
        mean: mean over seeds and clips.
        half: half width of the interval at `level`.
        p: two-sided p value, consistent with the interval: p < 1 - level exactly if the interval excludes 0;
            None with one seed, and where equal differences, all other than 0, leave no spread to judge by.
        level: coverage of the interval, such as .95; adjusted for the number of claims.
        seeds: number of shared seeds, n.
        clips: number of clips (groups of dependent clips count once), N.
        seed_variance: variance between seeds, s^2.
        clip_variance: variance of the mean due to the clips, c^2, which more seeds do not reduce.
    """

    mean: float
    half: float
    p: float | None
    level: float
    seeds: int
    clips: int
    seed_variance: float
    clip_variance: float

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end."""
        return self.mean - self.half, self.mean + self.half

    @property
    def finite_interval(self) -> tuple[float, float] | None:
        """The interval, or None if it has no ends, as with one seed and one clip."""
        return self.interval if math.isfinite(self.half) else None

    @property
    def clip_half(self) -> float:
        """Half width that is left with any number of seeds."""
        return quantiles.normal((1 + self.level) / 2) * math.sqrt(self.clip_variance)

    @property
    def seed_share(self) -> float:
        """Share of the variance of the mean that more seeds would reduce, in [0, 1]."""
        return seed_share(self.seed_variance, self.clip_variance, self.seeds) or 0.0

    def verdict(self, matters: float) -> str | None:
        """Return one of the three verdicts, or None if nothing was tested, as with one seed.

        Args:
            matters: the smallest difference of interest, > 0.
        """
        if self.p is None:
            return None
        low, high = self.interval
        if low > 0 or high < 0:
            return SEPARABLE
        return EQUAL if -matters < low and high < matters else NOT_SEPARABLE


def seed_share(seed_variance: float, clip_variance: float, seeds: int) -> float | None:
    """Return the share of the variance of a mean that more seeds would reduce; None without variance.

    Args:
        seed_variance, clip_variance, seeds: see `Difference`.
    """
    seed = seed_variance / seeds
    total = seed + clip_variance
    return seed / total if total > 0 else None


def grouped(outcomes: Float[np.ndarray, "n items"], groups: Sequence[str]) -> Float[np.ndarray, "n groups"]:
    """Return one value for each group of dependent items, in the order of first occurrence.

    Args:
        outcomes: one row per seed.
        groups: name of the group of each item, such as the video that clips were cut from.

    Returns:
        Means of the groups where all have one size. Otherwise values whose mean over groups is the mean over
        items, and whose variance is that of the ratio estimator of sampled groups.
    """
    if len(groups) != outcomes.shape[1]:
        raise errors.UserError(f"expected a group for each of {outcomes.shape[1]} items, got {len(groups)}")
    place = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    index = np.asarray([place[name] for name in groups])
    x = np.asarray(outcomes, np.float64)
    mean = x.mean(axis=1, keepdims=True)
    scale = len(place) / len(groups)
    return mean + np.stack([np.bincount(index, row) for row in x - mean]) * scale


def difference(
    differences: Float[np.ndarray, "n items"], *, claims: int = 1, alpha: float = 0.05
) -> Difference:
    """Return the mean of paired differences with its two-part interval.

    Args:
        differences: score of one row minus score of the other for each shared seed and item, averaged over
            head seeds; dependent clips are one item (`grouped`). All finite. A single item stands for a
            score whose items are unknown: the interval covers the seeds only, as in the paired t test.
        claims: number of claims that share the error; the level is 1 - alpha / claims (Bonferroni).
        alpha: the error that they share; smaller than .05 if there are several planned looks.

    Returns:
        With one seed, the interval covers the sampling of clips only and p is None.
    """
    x = np.asarray(differences, np.float64)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all() or claims < 1:
        raise errors.UserError(
            f"expected finite differences [seeds, items] and claims >= 1, got {x.shape} and {claims}"
        )
    n, items = x.shape
    level = 1 - alpha / claims
    mean = float(x.mean())
    if n == 1:
        spread = float(x.var(ddof=1) / items) if items > 1 else math.inf
        half = quantiles.normal((1 + level) / 2) * math.sqrt(spread)
        return Difference(mean, half, None, level, 1, items, math.nan, spread)
    by_seed, by_clip = x.mean(axis=1), x.mean(axis=0)
    seed_variance = float(by_seed.var(ddof=1))
    clip_variance = 0.0
    if items > 1:
        residual = x - by_seed[:, None] - by_clip[None, :] + mean
        within = float((residual**2).sum() / ((n - 1) * (items - 1)))
        between = float(n * by_clip.var(ddof=1))
        clip_variance = max(0.0, between - within) / (n * items)
    # What is left of a spread by rounding must not become an infinite t.
    if seed_variance <= (1e-12 * float(np.abs(x).max())) ** 2:
        seed_variance = 0.0

    def half_at(alpha: float) -> float:
        t, z = quantiles.student(1 - alpha / 2, n - 1), quantiles.normal(1 - alpha / 2)
        return math.sqrt(t * t * seed_variance / n + z * z * clip_variance)

    undefined = seed_variance == clip_variance == 0.0 != mean
    p = None if undefined else _p(abs(mean), half_at)
    return Difference(mean, half_at(1 - level), p, level, n, items, seed_variance, clip_variance)


def _p(size: float, half_at: Callable[[float], float]) -> float:
    """Return the alpha at which the half width equals the difference."""
    smallest = 1e-15
    if size == 0.0:
        return 1.0
    if half_at(smallest) <= size:
        return smallest
    return float(scipy.optimize.brentq(lambda alpha: half_at(alpha) - size, smallest, 1.0, xtol=1e-15))


def seeds_needed(
    own: Difference, others: Sequence[Difference], matters: float, *, most: int = 1000
) -> int | None:
    """Return how many seeds bring the interval to +-`matters`, or None if no number is enough.

    It depends on variances only: the observed difference adds nothing to p when it is used for planning.

    Args:
        own: the comparison, of two or more seeds.
        others: all comparisons of the table, whose seed variance is borrowed with the weight of two degrees
            of freedom.
        matters: the smallest difference of interest, > 0.
        most: numbers above are not tried.

    Source: Hoenig and Heisey 2001 (observed power); Smyth 2004 (borrowed variance).
    """
    known = [each.seed_variance for each in others if each.seeds > 1]
    prior = float(np.mean(known)) if known else own.seed_variance
    variance = (2 * prior + (own.seeds - 1) * own.seed_variance) / (own.seeds + 1)
    if own.clip_half > matters:
        return None
    for n in range(2, most + 1):
        t = quantiles.student((1 + own.level) / 2, n - 1)
        if math.hypot(t * math.sqrt(variance / n), own.clip_half) <= matters:
            return n
    return None
