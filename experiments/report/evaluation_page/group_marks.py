"""Rows of the picture over the groups of tasks: this encoder, its control, and the paper's numbers.

A row is a group and a metric, since means over different metrics say nothing. Where a group has scores that
the paper has too, only those are in its row, and the paper's marks are means over the same benchmarks.
Otherwise the first score of each task is, and the row says why there is no mark of the paper.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

OTHERS = "other tasks"


@dataclasses.dataclass(frozen=True)
class Point:
    """A score.

    Args:
        group, task, metric: names.
        value, interval: score and half width of its interval, or None.
        control: score of the same training with shuffled labels or without video, or None.
        base, giant: the paper's scores in the same unit, or None.
        otherwise: why there are none.
    """

    group: str
    task: str
    metric: str
    value: float
    interval: float | None = None
    control: float | None = None
    base: float | None = None
    giant: float | None = None
    otherwise: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the picture, in percent.

    Args:
        group, metric: names; the metric is that of the tasks.
        tasks: names of the tasks.
        value: mean over them.
        low, high: ends of its interval, with one task; else None.
        control, base, giant: means, or None.
        top: right end of the axis.
        otherwise: why the paper has no mark.
    """

    group: str
    metric: str
    tasks: tuple[str, ...]
    value: float
    low: float | None
    high: float | None
    control: float | None
    base: float | None
    giant: float | None
    top: float
    otherwise: str

    def at(self, value: float) -> str:
        """Return a place on the axis as a share of its width, for SVG."""
        return f"{min(100.0, max(0.0, 100 * value / self.top)):.2f}%"

    def said(self) -> str:
        """Return the numbers of the row as a text."""
        named = (
            ("control", self.control), ("VideoPrism-B", self.base), ("VideoPrism-g", self.giant),
        )  # fmt: skip
        others = [f"{name} {value:.1f}" for name, value in named if value is not None]
        return ", ".join([f"this encoder {self.value:.1f}", *others])


def rows(points: Sequence[Point]) -> list[Row]:
    """Return the rows, in the order of the scores' groups; scores that are not finite have none."""
    by_group: dict[str, list[Point]] = {}
    for point in points:
        if math.isfinite(point.value):
            by_group.setdefault(point.group or OTHERS, []).append(point)
    made = []
    for group, own in by_group.items():
        kept = [point for point in own if point.base is not None]
        if not kept:
            first = {point.task: point for point in reversed(own)}
            kept = [point for point in own if first[point.task] is point]
        by_metric: dict[str, list[Point]] = {}
        for point in kept:
            by_metric.setdefault(point.metric, []).append(point)
        made += [_row(group, metric, each) for metric, each in by_metric.items()]
    return made


def _row(group: str, metric: str, points: Sequence[Point]) -> Row:
    mean = lambda values: (
        None if any(value is None for value in values) else 100 * float(np.mean(list(values)))
    )
    value = 100 * float(np.mean([point.value for point in points]))
    half = points[0].interval if len(points) == 1 else None
    spread = (None, None) if half is None else (value - 100 * half, value + 100 * half)
    control, base, giant = (
        mean([getattr(point, name) for point in points]) for name in ("control", "base", "giant")
    )
    largest = max(each for each in (value, spread[1], control, base, giant) if each is not None)
    why = dict.fromkeys(point.otherwise for point in points if point.otherwise)
    tasks = tuple(point.task for point in points)
    top = 100.0 * max(1, math.ceil(largest / 100 - 1e-9))
    return Row(group, metric, tasks, value, spread[0], spread[1], control, base, giant, top, "; ".join(why))
