"""Comparisons of two rows in table.json: exploratory ones, and claims with their verdicts."""

import dataclasses
from typing import Any

from prismlab.core import errors

_OPTIONAL = ("seeds", "clips", "seed_variance", "clip_variance", "head_variance", "note", "advice", "number")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Exploratory comparison of one metric of two rows over the seeds that they share: no p, no verdict.

    Args:
        row, reference: labels; the difference is row minus reference.
        metric: name of the metric.
        difference: mean difference, or None if nothing can be compared.
        ci95: 95 % interval of the difference, or None.
        n: number of pairs.
        seeds: the shared seeds, or None if the rows were not compared.
        clips: test clips of the interval (dependent ones count once); 0 or None for an interval over seeds
            only.
        seed_variance, clip_variance: see `two_part.Difference`.
        head_variance: see `pairing.Pairs`.
        note: why the rows were not compared, or which seeds are missing.
    """

    row: str
    reference: str
    metric: str
    difference: float | None
    ci95: tuple[float, float] | None
    n: int
    seeds: tuple[int, ...] | None = None
    clips: int | None = None
    seed_variance: float | None = None
    clip_variance: float | None = None
    head_variance: float | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        _check(self.ci95, "ci95")

    def plain(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return _plain(self)


@dataclasses.dataclass(frozen=True)
class Claim:
    """Comparison that the configuration declares, with its verdict.

    Args:
        row, reference, metric, difference, n, seeds, clips: see `Comparison`.
        seed_variance, clip_variance, head_variance, note: see `Comparison`.
        interval: interval of the difference at `level`, or None.
        level: coverage of the interval, 1 - .05 / claims; with planned looks that of one look.
        p: two-sided p value, below 1 - level exactly if the interval excludes 0; None if not tested.
        matters: the smallest difference of interest.
        verdict: "separable", "equal within" or "not separable"; None if there is none, as with one seed.
            Parts of one claim have the verdict of the whole claim.
        seeds_needed: number of seeds that brings the interval to +-`matters`, or None.
        advice: what would narrow an interval that is not separable, or None.
        number: number of the claim, from 1; comparisons with one number are the parts of one claim, which
            holds only if every part does. None: the comparison is a claim of its own.
    """

    row: str
    reference: str
    metric: str
    difference: float | None
    interval: tuple[float, float] | None
    level: float
    p: float | None
    matters: float
    verdict: str | None
    n: int
    seeds: tuple[int, ...] | None = None
    clips: int | None = None
    seed_variance: float | None = None
    clip_variance: float | None = None
    head_variance: float | None = None
    seeds_needed: int | None = None
    advice: str | None = None
    note: str | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        _check(self.interval, "interval")

    def plain(self) -> dict[str, Any]:
        """Return the claim as JSON data."""
        return _plain(self)


def _check(interval: tuple[float, float] | None, name: str) -> None:
    if interval is not None and not interval[0] <= interval[1]:
        raise errors.UserError(f"expected low and high as {name}, found {list(interval)}")


def _plain(entry: Comparison | Claim) -> dict[str, Any]:
    found = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    return {name: value for name, value in found.items() if value is not None or name not in _OPTIONAL}
