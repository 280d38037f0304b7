"""Paired differences of one metric of two rows, over the seeds and the test items that both have."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from prismlab.experiments.statistics import item_scores, results_table, two_part

SEEDS_ONLY = "seeds only"
PROTOCOLS_DIFFER = "protocols differ"


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What two rows share of one metric.

    Args:
        seeds: shared seeds with two finite scores, ascending.
        differences: row minus reference; one column an independent group of items, or a single column if the
            items are not known or are not the same.
        clips: number of these groups; 0 for a single column that stands for the score.
        diverged: number of shared seeds without a finite score in one of the rows.
        remarks: what a reader has to know, such as "diverged 1 of 6" or "seeds only".
        head_variance: the part of the variance between seeds that comes from the probe heads, which more head
            seeds would reduce; None with one head, or where the heads are not known.
    """

    seeds: tuple[int, ...]
    differences: Float[np.ndarray, "n groups"]
    clips: int
    diverged: int
    remarks: tuple[str, ...]
    head_variance: float | None = None

    @property
    def remark(self) -> str | None:
        """All remarks as one text, or None."""
        return "; ".join(self.remarks) or None

    def difference(self, *, claims: int = 1, alpha: float = 0.05) -> two_part.Difference | None:
        """Return the two-part difference, or None without a shared seed; see `two_part.difference`."""
        if not self.seeds:
            return None
        return two_part.difference(self.differences, claims=claims, alpha=alpha)

    def counted(self, found: two_part.Difference) -> dict[str, Any]:
        """Return what a comparison says of its difference: pairs, seeds, clips and the two variances."""
        return {
            "n": found.seeds,
            "seeds": self.seeds,
            "clips": self.clips,
            "seed_variance": None if found.seeds == 1 else found.seed_variance,
            "clip_variance": found.clip_variance if self.clips else None,
            "head_variance": self.head_variance,
        }


def of(
    row: results_table.Row, reference: results_table.Row, name: str, found: item_scores.Found
) -> Pairs | None:
    """Return the pairs of a metric, or None if the rows were measured by different protocols.

    Args:
        row, reference: rows of the table that have the metric.
        name: the metric.
        found: items of scores.
    """
    ours, theirs = row.metrics[name], reference.metrics[name]
    if ours.protocol != theirs.protocol:
        return None
    mine, other = dict(zip(row.seeds, ours.values)), dict(zip(reference.seeds, theirs.values))
    shared = [seed for seed in row.seeds if seed in other]
    pairs = [
        (seed, a, b) for seed in shared if (a := mine[seed]) is not None and (b := other[seed]) is not None
    ]
    seeds = tuple(seed for seed, _, _ in pairs)
    diverged = len(shared) - len(seeds)
    remarks = [f"diverged {diverged} of {len(shared)}"] if diverged else []
    alone = len(set(row.seeds) ^ set(reference.seeds))
    remarks += [f"{alone} seeds in one row only"] * (alone > 0)
    named = [(row.label, reference.label, seed, name) for seed in seeds]
    matrix = _by_group(named, found)
    if matrix is not None:
        heads = _head_variance(named, found)
        return Pairs(seeds, matrix, matrix.shape[1], diverged, tuple(remarks), heads)
    column = np.asarray([a - b for _, a, b in pairs], np.float64)[:, None]
    # What is left of equal differences by rounding must not become a spread.
    if len(column) and np.ptp(column) <= 1e-12 * max(max(abs(a), abs(b)) for _, a, b in pairs):
        column = np.full_like(column, column.mean() if abs(column.mean()) > 1e-12 else 0.0)
    return Pairs(seeds, column, 0, diverged, (*remarks, SEEDS_ONLY))


def _by_group(
    pairs: list[tuple[str, str, int, str]], found: item_scores.Found
) -> Float[np.ndarray, "n groups"] | None:
    """Return the differences by group of items, or None if items are missing or are not the same."""
    ours = [found.get((row, seed, name)) for row, _, seed, name in pairs]
    theirs = [found.get((reference, seed, name)) for _, reference, seed, name in pairs]
    aligned = _aligned([*ours, *theirs])
    if aligned is None:
        return None
    values, groups = aligned
    return two_part.grouped(values[: len(pairs)] - values[len(pairs) :], groups)


def _head_variance(pairs: list[tuple[str, str, int, str]], found: item_scores.Found) -> float | None:
    """Return the part of the variance of a seed's difference that comes from its heads."""
    variances = []
    for row, reference, seed, name in pairs:
        ours, theirs = found[row, seed, name].heads, found[reference, seed, name].heads
        if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
            return None
        variances.append(float((ours - theirs).var(ddof=1)) / len(ours))
    return float(np.mean(variances)) if variances else None


def _aligned(
    items: Sequence[item_scores.ItemScores | None],
) -> tuple[Float[np.ndarray, "scores items"], tuple[str, ...]] | None:
    """Return the values of scores and the groups of their items; None unless all have the same items.

    Items of one group only are no sample, and None too.
    """
    there = [each for each in items if each is not None]
    if not there or len(there) < len(items):
        return None
    first = there[0]
    same = all((each.keys, each.groups) == (first.keys, first.groups) for each in there)
    if not same or len(set(first.groups)) < 2:
        return None
    return np.stack([each.values for each in there]), first.groups


def own(
    label: str, seeds: tuple[int, ...], name: str, found: item_scores.Found
) -> Float[np.ndarray, "n groups"] | None:
    """Return a row's own scores by group of items, or None if items are missing or are not the same."""
    aligned = _aligned([found.get((label, seed, name)) for seed in seeds])
    return None if aligned is None else two_part.grouped(*aligned)
