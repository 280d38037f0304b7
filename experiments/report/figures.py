"""Curves of a report as SVG text: small panels for a phone's width; equal numbers give equal text.

Readable without colour: rows differ in dash and marker.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib.figure

from prismlab.experiments.report import drawing

_DASHES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3))]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
_MOST_POINTS = 80
_WIDTH, _HEIGHT = 3.9, 2.1  # inches of a panel
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


def curve_panels(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """Draw the curves of one stage: one panel per term, one line per row and seed, and the legend.

    The only "loss/" term beside "loss" is left out. Terms with one prefix, such as
    "objective_gradient_norm/", share the scale of the second axis.

    Args:
        curves: curves of the same stage, each with at least one point; those of the first `MOST_ROWS` labels
            are drawn.

    Returns:
        (what is drawn, SVG text) of each panel, the legend last.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))[:MOST_ROWS]
    curves = [curve for curve in curves if curve.label in labels]
    terms = list(dict.fromkeys(curve.term for curve in curves))
    parts = [term for term in terms if term.startswith("loss/")]
    if len(parts) == 1 and "loss" in terms:  # one objective: its loss is the loss
        terms.remove(parts[0])
    with drawing.styled():
        panels = [(term, _panel(term, curves, labels)) for term in terms]
        return [*panels, ("which line is which row", _legend(labels))]


def _panel(term: str, curves: Sequence[Curve], labels: Sequence[str]) -> str:
    figure = matplotlib.figure.Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.14, 0.17, 0.83, 0.69))
    for curve in curves:
        if curve.term == term:
            index = labels.index(curve.label)
            steps, values = _thin(curve)
            # Offset the markers of different rows, so that they do not overlap.
            every = index * len(steps) // max(1, 6 * len(labels)), max(1, len(steps) // 6)
            axes.plot(steps, values, markevery=every, **_look(index))
    axes.set_title(drawing.label(term), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_title("by step", loc="right", fontsize=7.5, color="#555555")
    axes.grid(alpha=0.25)
    prefix = term.rpartition("/")[0]
    together = [
        value for curve in curves if curve.term.rpartition("/")[0] == prefix for value in curve.values
    ]
    if prefix and len(together) > 1 and "loss" not in prefix:
        low, high = min(together), max(together)
        margin = 0.05 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
    return drawing.svg(figure, tight=False)


def _legend(labels: Sequence[str]) -> str:
    figure = matplotlib.figure.Figure(figsize=(_WIDTH, 0.22 * len(labels) + 0.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    for index, label in enumerate(labels):
        axes.plot([0.02, 0.08, 0.14], [index] * 3, markevery=(1, 5), **_look(index))
        axes.text(0.17, index, drawing.label(label, 52), fontsize=8, va="center")
    return drawing.svg(figure, tight=False)


def _look(index: int) -> dict[str, Any]:
    return {
        "color": drawing.COLOURS[index % len(drawing.COLOURS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "markersize": 4,
        "linewidth": 1.2,
    }
