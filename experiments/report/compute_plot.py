"""Score of each row against what its training cost."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

import matplotlib.figure

from prismlab.experiments.report import drawing, page_facts
from prismlab.experiments.statistics import cells, results_table

_WIDTH, _HEIGHT = 3.9, 2.7  # inches of a panel
_WIDE = 30  # ratio of the largest to the smallest cost from which the axis is logarithmic


@dataclasses.dataclass(frozen=True)
class Axis:
    """A unit of cost: its name, how to read it from a row's cost, and how to write it."""

    name: str
    of: Callable[[page_facts.Cost], float | None]


AXES = (
    Axis("training FLOPs", lambda cost: cost.flops),
    Axis("device-hours", lambda cost: cost.device_hours),
)


def means(costs: Sequence[page_facts.Cost], axis: Axis) -> dict[str, float]:
    """Return row -> mean cost over its seeds; rows with a seed whose cost is unknown are left out."""
    found: dict[str, list[float | None]] = {}
    for cost in costs:
        found.setdefault(cost.row, []).append(axis.of(cost))
    known = {row: [value for value in each if value is not None] for row, each in found.items()}
    return {row: statistics.fmean(each) for row, each in known.items() if len(each) == len(found[row])}


def panels(
    table: results_table.Table, costs: Sequence[page_facts.Cost], metrics: Sequence[str]
) -> list[tuple[str, str]]:
    """Draw each metric against each unit of cost that is known for two rows or more.

    Args:
        table: the table; a row is drawn as its number in it.
        costs: one a row and seed.
        metrics: metrics to draw.

    Returns:
        (what is drawn, SVG text) of each panel.
    """
    drawn = []
    with drawing.styled():
        for axis in AXES:
            known = means(costs, axis)
            for metric in metrics:
                points = [
                    (place, known[row.label], row.metrics[metric])
                    for place, row in enumerate(table.rows, 1)
                    if row.label in known and metric in row.metrics and row.metrics[metric].mean is not None
                ]
                if len(points) > 1:
                    drawn.append((f"{metric} against {axis.name}", _panel(axis.name, metric, points)))
    return drawn


def _panel(axis: str, metric: str, points: Sequence[tuple[int, float, results_table.Cell]]) -> str:
    figure = matplotlib.figure.Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.14, 0.17, 0.82, 0.73))
    for place, cost, cell in points:
        mean = cell.mean or 0.0
        low, high = cell.ci95 or (mean, mean)
        axes.plot([cost, cost], [low, high], color=drawing.COLOURS[0], linewidth=1.4)
        axes.plot(cost, mean, "o", color=drawing.COLOURS[0], markersize=5)
        axes.annotate(str(place), (cost, mean), (6, 0), textcoords="offset points", va="center", fontsize=8)
    chances = {cell.chance for _, _, cell in points}
    for chance in sorted(level for level in chances if level is not None):
        axes.axhline(chance, color="#555555", linestyle=":", linewidth=1.2)
        axes.annotate(f"chance {cells.number(chance)}", (0, chance), (2, 4), ("axes fraction", "data"),
                      "offset points", fontsize=7.5)  # fmt: skip
    costs = sorted(cost for _, cost, _ in points if cost > 0)
    if costs and costs[-1] / costs[0] >= _WIDE:
        if len(costs) == len(points):
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=costs[0])
            axes.set_xlim(left=0)
        drawing.label_powers(axes, costs[0], costs[-1])
    else:
        axes.set_xlim(left=0, right=1.08 * max(costs, default=1.0))
    axes.set_title(drawing.label(metric), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(axis, fontsize=8)
    axes.grid(alpha=0.25)
    return drawing.svg(figure, tight=False)
