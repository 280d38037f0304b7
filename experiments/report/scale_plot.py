"""Paired difference of two rows against compute, one point a scale."""

from collections.abc import Sequence

import matplotlib.axes
import matplotlib.figure
from matplotlib import patheffects

from prismlab.experiments.report import drawing, forest
from prismlab.experiments.statistics import results_table, scale_points

_WIDTH, _HEIGHT = 3.9, 3.0  # inches of a panel
_DASHES = ["-", "--", "-.", ":"]
_MARKERS = ["o", "s", "^", "D"]


def panels(table: results_table.Table, curves: Sequence[scale_points.Curve]) -> list[tuple[str, str]]:
    """Draw each curve: the difference with its 95 % interval and a dot for each seed.

    The axis is the model FLOPs of the row's training, or the number of the scale if they are not all known.

    Args:
        table: the table of the curves, for the scores of single seeds.
        curves: of `table.scales`.

    Returns:
        (what is drawn, SVG text) of each panel.
    """
    with drawing.styled():
        return [
            (f"{each.metric}: {each.row} minus {each.reference}, by scale", _panel(table, each))
            for each in curves
        ]


def _panel(table: results_table.Table, curve: scale_points.Curve) -> str:
    figure = matplotlib.figure.Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.15, 0.15, 0.82, 0.73))
    axes.axhline(0.0, color="#222222", linewidth=1.0, zorder=1)
    place = {point.scale: number for number, point in enumerate(curve.points, 1)}
    series = list(dict.fromkeys(point.series for point in curve.points))
    for index, name in enumerate(series):
        line = [point for point in curve.points if point.series == name and point.difference is not None]
        at = {point.scale: (point.flops or 0.0) if curve.has_flops else place[point.scale] for point in line}
        line.sort(key=lambda point: at[point.scale])
        colour = drawing.COLOURS[index % len(drawing.COLOURS)]
        axes.plot(
            [at[point.scale] for point in line], [point.difference or 0.0 for point in line], color=colour,
            linestyle=_DASHES[index % len(_DASHES)], marker=_MARKERS[index % len(_MARKERS)], markersize=5,
            linewidth=1.2, zorder=3, label=drawing.label(name or curve.row, 40),
        )  # fmt: skip
        for point in line:
            _draw_point(axes, table, curve, point, at[point.scale], colour, len(series) > 1, index)
    axes.set_title(drawing.label(f"{curve.metric}: {curve.row} minus {curve.reference}", 58), fontsize=8)
    if curve.has_flops:
        axes.set_xscale("log")
        costs = [point.flops or 1.0 for point in curve.points]
        drawing.label_powers(axes, min(costs), max(costs))
        axes.set_xlabel("training FLOPs of the row", fontsize=8)
    else:
        axes.set_xticks(list(place.values()))
        axes.set_xlabel("scale (FLOPs are not known of all)", fontsize=8)
    axes.margins(x=0.12, y=0.12)
    if len(series) > 1:
        axes.legend(fontsize=7.5, frameon=False, loc="best")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    return drawing.svg(figure, tight=False)


def _draw_point(
    axes: matplotlib.axes.Axes,
    table: results_table.Table,
    curve: scale_points.Curve,
    point: scale_points.Point,
    x: float,
    colour: str,
    short: bool,
    index: int,
) -> None:
    if point.ci95 is not None:
        axes.plot([x, x], list(point.ci95), color=colour, linewidth=1.6, zorder=2)
    dots = forest.seed_differences(table, point.row, point.reference, curve.metric, point.seeds or ())
    if len(dots) > 1:
        axes.plot(
            [x] * len(dots), [value for _, value in dots], "o", color="none", markeredgecolor=colour,
            markersize=3.2, markeredgewidth=0.8, zorder=4,
        )  # fmt: skip
    words = point.scale.partition(", ")[0] if short else point.scale
    ends = point.ci95 or (point.difference or 0.0,) * 2
    end, above = (ends[1], 4) if index % 2 == 0 else (ends[0], -10)
    axes.annotate(
        drawing.label(words, 22), (x, end), (0, above), textcoords="offset points", ha="center", fontsize=7,
        color=colour, zorder=5, path_effects=[patheffects.withStroke(linewidth=2.2, foreground="white")],
    )  # fmt: skip
