"""Figures of a report as SVG text; equal numbers give equal text.

Readable without colour: curves differ in dash and marker, bars are labelled with names and values.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib.figure

from prismlab.experiments.report import cells, drawing, results_table

_DASHES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3))]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_MOST_POINTS = 80
MOST_ROWS = 30  # in a figure: more cannot be told apart, and drawing takes long


@dataclasses.dataclass(frozen=True)
class Curve:
    """A logged quantity over the steps of a stage.

    Args:
        label: the row or rows that it belongs to.
        stage: name of the stage.
        seed: the seed of the run.
        term: name of the quantity, such as "loss".
        steps: steps at which it was logged, ascending; means of neighbouring ones in a long log.
        values: its value at each of them.
    """

    label: str
    stage: str
    seed: int
    term: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


def _thin(curve: Curve) -> tuple[list[float], list[float]]:
    """Downsample a curve to at most `_MOST_POINTS` means of neighbouring points."""
    width = -(-len(curve.steps) // _MOST_POINTS)
    starts = range(0, len(curve.steps), width)
    parts = [(curve.steps[i : i + width], curve.values[i : i + width]) for i in starts]
    return [sum(x) / len(x) for x, _ in parts], [sum(y) / len(y) for _, y in parts]


def curves_svg(curves: Sequence[Curve]) -> str:
    """Draw the curves of one stage: one panel per term, one line per row and seed.

    Args:
        curves: curves of the same stage, each with at least one point; those of the first `MOST_ROWS` labels
            are drawn.

    Returns:
        SVG text.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))[:MOST_ROWS]
    curves = [curve for curve in curves if curve.label in labels]
    terms = list(dict.fromkeys(curve.term for curve in curves))
    columns = min(2, len(terms))
    lines = -(-len(terms) // columns)
    with drawing.styled():
        legend = 0.2 * max(0, -(-len(labels) // 3) - 3)  # room for a long legend
        size = 4.6 * columns + 0.4, 2.6 * lines + legend
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).flatten()
        handles: dict[str, Any] = {}
        for panel, term in zip(panels, terms):
            for curve in curves:
                if curve.term != term:
                    continue
                index = labels.index(curve.label)
                steps, values = _thin(curve)
                (handles[curve.label],) = panel.plot(
                    steps,
                    values,
                    color=drawing.COLOURS[index % len(drawing.COLOURS)],
                    linestyle=_DASHES[index % len(_DASHES)],
                    marker=_MARKERS[index % len(_MARKERS)],
                    # Offset the markers of different rows, so that they do not overlap.
                    markevery=(index * len(steps) // max(1, 6 * len(labels)), max(1, len(steps) // 6)),
                    markersize=4,
                    linewidth=1.3,
                )
            panel.set_title(drawing.label(term))
            panel.set_xlabel("step")
            panel.grid(alpha=0.25)
        for panel in panels[len(terms) :]:
            panel.set_visible(False)
        figure.legend(
            [handles[label] for label in labels],
            [drawing.label(label) for label in labels],
            loc="outside lower left",
            ncols=min(3, len(labels)),
            frameon=False,
            handlelength=4,
        )
        return drawing.svg(figure)


def bars_svg(name: str, rows: Sequence[tuple[str, results_table.Cell]]) -> str:
    """Draw one metric: a horizontal bar per row, its interval, the seeds as dots, and the chance level.

    Args:
        name: the metric.
        rows: row label and cell; cells without a finite mean have a label but no bar. The first `MOST_ROWS`
            are drawn.

    Returns:
        SVG text.
    """
    rows = rows[:MOST_ROWS]
    chances = {metric.chance for _, metric in rows}
    with drawing.styled():
        figure = matplotlib.figure.Figure(figsize=(7.2, 0.7 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        ends = [0.0]
        for place, (_, metric) in enumerate(rows):
            mean = metric.mean
            if mean is None:
                axes.annotate("not finite", (0, place), (4, 0), textcoords="offset points", va="center")
                continue
            axes.barh(place, mean, height=0.62, color="#9DC3E0", edgecolor="#222222", linewidth=0.8)
            low, high = metric.ci95 or (mean, mean)
            if metric.ci95 is not None:
                axes.errorbar(
                    mean, place, xerr=[[mean - low], [high - mean]], color="#222222", capsize=3, linewidth=1.2
                )
            values = [value for value in metric.values if value is not None]
            if len(values) > 1:
                axes.plot(values, [place] * len(values), "o", color="white", markeredgecolor="#222222", ms=4)
            right = max([high, mean, 0.0, *values])
            axes.annotate(cells.cell(metric), (right, place), (6, 0), textcoords="offset points", va="center")
            ends += [low, right, *values]
        for chance in sorted(level for level in chances if level is not None):
            axes.axvline(chance, color="#222222", linestyle=":", linewidth=1.4, zorder=3)
            axes.annotate(
                f"chance {cells.number(chance)}",
                (chance, -0.75),
                (3, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
            )
            ends.append(chance)
        span = max(ends) - min(ends) or 1.0
        axes.set_xlim(min(ends) - (0.02 * span if min(ends) < 0 else 0), max(ends) + 0.34 * span)
        axes.set_ylim(len(rows) - 0.45, -1.05)
        axes.set_yticks(range(len(rows)), [drawing.label(label) for label, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_title(drawing.label(name))
        return drawing.svg(figure)
