"""Differences of rows by scale and matched rows, as table.json has them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors


@dataclasses.dataclass(frozen=True)
class Matched:
    """A stage whose steps were set so that it costs as much as another one.

    Args:
        row: label of its row.
        stage, other: its name, and that of the stage that it is matched with.
        unit: what is counted, such as "FLOPs".
        steps: steps of `stage`.
        cost, target: cost of `stage` and of `other`.
        mismatch: what is left of the difference, as a fraction of the target.
        text: all of it in one line.
    """

    row: str
    stage: str
    other: str
    unit: str
    steps: int
    cost: float
    target: float
    mismatch: float
    text: str


@dataclasses.dataclass(frozen=True)
class Point:
    """Paired difference of two rows at one scale.

    Args:
        scale: its name.
        row, reference: labels of the two rows of the table.
        difference, ci95, n, seeds, clips, note: see `comparisons.Comparison`.
        flops: model FLOPs of the row's training, mean over seeds; None if unknown.
        reference_flops: the same of the reference.
    """

    scale: str
    row: str
    reference: str
    difference: float | None
    ci95: tuple[float, float] | None
    n: int
    seeds: tuple[int, ...] | None = None
    clips: int | None = None
    note: str | None = None
    flops: float | None = None
    reference_flops: float | None = None

    def __post_init__(self) -> None:
        if self.ci95 is not None and not self.ci95[0] <= self.ci95[1]:
            raise errors.UserError(f"expected low and high as ci95, found {list(self.ci95)}")
        if self.flops is not None and not self.flops >= 0:
            raise errors.UserError(f"expected FLOPs of at least 0, found {self.flops}")

    @property
    def series(self) -> str:
        """What its name has after the first ", ": points with the same are one line."""
        return self.scale.partition(", ")[2]


@dataclasses.dataclass(frozen=True)
class Slope:
    """Change of a difference with compute, fitted by least squares to the points of one line.

    Args:
        series: see `Point.series`.
        per_tenfold: change of the difference for ten times the FLOPs.
        ci95: its 95 % interval over seeds and clips, or None.
        points: number of points.
    """

    series: str
    per_tenfold: float
    ci95: tuple[float, float] | None
    points: int


@dataclasses.dataclass(frozen=True)
class Curve:
    """Difference of one row to a reference in one metric, scale by scale.

    Args:
        row, reference: labels in `recipe.Ablation.rows`.
        metric: name of the metric.
        points: in the order of the scales.
        slopes: of the lines with three points or more whose FLOPs are known.
    """

    row: str
    reference: str
    metric: str
    points: tuple[Point, ...]
    slopes: tuple[Slope, ...] = ()

    @property
    def has_flops(self) -> bool:
        """Whether the FLOPs of every point are known, so that they are the axis."""
        return all(point.flops for point in self.points)


def plain(entries: Sequence[Curve | Matched]) -> list[dict[str, Any]]:
    """Return curves or matched rows as JSON data."""
    return [dataclasses.asdict(entry) for entry in entries]
