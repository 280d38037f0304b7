"""Forest plot: paired differences of rows with their intervals and one dot per seed."""

import dataclasses
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.figure
from matplotlib import patheffects

from prismlab.experiments.report import drawing
from prismlab.experiments.statistics import cells, comparisons, results_table

MOST_LINES = 30  # of one panel
MOST_PANELS = 24
_CLAIMED, _EXPLORATORY = drawing.COLOURS[0], "#7A7A7A"
_WIDTH = 3.9  # inches of a panel: a phone's screen
_COLUMNS = 2  # of panels in a PDF
_LINE, _FRAME = 0.44, 0.65  # inches of height of a line, and of title and axis


@dataclasses.dataclass(frozen=True)
class Line:
    """Difference of one row to the panel's reference.

    Args:
        row: label of the row.
        difference: mean difference, or None if nothing was compared.
        interval: low and high end, or None.
        dots: (seed, difference) of each shared seed.
        claimed: True for a claim, False for an exploratory comparison.
        verdict: the claim's verdict, or None.
        note: see `comparisons.Comparison`.
    """

    row: str
    difference: float | None
    interval: tuple[float, float] | None
    dots: tuple[tuple[int, float], ...]
    claimed: bool
    verdict: str | None
    note: str | None


@dataclasses.dataclass(frozen=True)
class Panel:
    """Differences of all rows to one reference in one metric.

    Args:
        metric, reference: what is compared, and with which row.
        lines: one for each row that was compared, in the order of the table.
        matters: half width of the band of differences without interest, or None if nothing was claimed.
    """

    metric: str
    reference: str
    lines: tuple[Line, ...]
    matters: float | None

    @property
    def reach(self) -> float:
        """Largest absolute value of the panel."""
        ends = [self.matters or 0.0]
        for line in self.lines:
            ends += [*(line.interval or ()), *(value for _, value in line.dots), line.difference or 0.0]
        return max(map(abs, ends)) or 1.0


def panels(table: results_table.Table) -> list[Panel]:
    """Return the panels of a table: claimed metrics, or all metrics if nothing was claimed.

    Args:
        table: the table; rows that lack a metric have no line.
    """
    claimed = list(dict.fromkeys(entry.metric for entry in table.claims))
    references = dict.fromkeys([*table.reference, *(entry.reference for entry in table.claims)])
    matters = table.claims[0].matters if table.claims else None
    compared: list[comparisons.Comparison | comparisons.Claim] = [*table.paired, *table.claims]
    found = []
    for metric in claimed or table.metric_names:
        for reference in references:
            entries = {
                entry.row: entry
                for entry in compared
                if (entry.metric, entry.reference) == (metric, reference)
            }
            lines = [_line(table, entries[row.label]) for row in table.rows if row.label in entries]
            if lines:
                found.append(Panel(metric, reference, tuple(lines), matters if metric in claimed else None))
    return found[:MOST_PANELS]


def _line(table: results_table.Table, entry: comparisons.Comparison | comparisons.Claim) -> Line:
    claimed = isinstance(entry, comparisons.Claim)
    interval = entry.interval if isinstance(entry, comparisons.Claim) else entry.ci95
    verdict = entry.verdict if isinstance(entry, comparisons.Claim) else None
    dots = seed_differences(table, entry.row, entry.reference, entry.metric, entry.seeds or ())
    return Line(entry.row, entry.difference, interval, dots, claimed, verdict, entry.note)


def seed_differences(
    table: results_table.Table, label: str, reference: str, metric: str, seeds: Sequence[int]
) -> tuple[tuple[int, float], ...]:
    """Return (seed, difference) of each seed of a comparison, from the scores of its two rows.

    Args:
        table: the table of the comparison.
        label, reference: its rows; a table of a stranger may lack them, which gives ().
        metric: what is compared.
        seeds: shared by the two rows.
    """
    by_label = {row.label: row for row in table.rows}
    pair = [by_label.get(label), by_label.get(reference)]
    ours, theirs = (
        dict(zip(row.seeds, row.metrics[metric].values)) if row is not None and metric in row.metrics else {}
        for row in pair
    )
    found = []
    for seed in seeds:
        ours_now, theirs_now = ours.get(seed), theirs.get(seed)
        if ours_now is not None and theirs_now is not None:
            found.append((seed, ours_now - theirs_now))
    return tuple(found)


def svgs(found: Sequence[Panel]) -> list[str]:
    """Return each panel as SVG text; panels of one metric share the scale.

    Args:
        found: from `panels`; the first `MOST_LINES` lines of each are drawn.
    """
    drawn = []
    with drawing.styled():
        for panel in found:
            height = _height(panel)
            figure = matplotlib.figure.Figure(figsize=(_WIDTH, height))
            axes = figure.add_axes((0.03, 0.32 / height, 0.94, 1 - _FRAME / height))
            _draw(axes, panel, _reach(found, panel.metric))
            drawn.append(drawing.svg(figure, tight=False))
    return drawn


def pdf(found: Sequence[Panel]) -> bytes:
    """Return all panels as one PDF page, two side by side.

    Args:
        found: from `panels`, at least one.
    """
    columns = min(_COLUMNS, len(found))
    rows = [found[start : start + columns] for start in range(0, len(found), columns)]
    heights = [max(map(_height, row)) for row in rows]
    with drawing.styled():
        figure = matplotlib.figure.Figure(figsize=(_WIDTH * columns, sum(heights)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for axes in grid.flatten()[len(found) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flatten(), found):
            _draw(axes, panel, _reach(found, panel.metric))
        return drawing.pdf(figure)


def _height(panel: Panel) -> float:
    return _FRAME + _LINE * min(len(panel.lines), MOST_LINES)


def _reach(found: Sequence[Panel], metric: str) -> float:
    return 1.06 * max(panel.reach for panel in found if panel.metric == metric)


def _draw(axes: matplotlib.axes.Axes, panel: Panel, reach: float) -> None:
    lines = panel.lines[:MOST_LINES]
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(lines) - 0.5, -0.75)
    if panel.matters is not None:
        axes.axvspan(-panel.matters, panel.matters, color="#E9E4D4", linewidth=0, zorder=0)
    axes.axvline(0.0, color="#222222", linewidth=1.0, zorder=1)
    for place, line in enumerate(lines):
        _draw_line(axes, line, place, reach)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(drawing.label(f"{panel.metric}: minus {panel.reference}", 50), fontsize=9)


def _draw_line(axes: matplotlib.axes.Axes, line: Line, place: int, reach: float) -> None:
    colour = _CLAIMED if line.claimed else _EXPLORATORY
    ink = "#111111" if line.claimed else "#5A5A5A"
    above = place - 0.38
    around = [patheffects.withStroke(linewidth=2.2, foreground="white")]  # a label may cross the zero line
    for x, words, side in ((-reach, drawing.label(line.row, 36), "left"), (reach, _numbers(line), "right")):
        axes.text(
            x, above, words, ha=side, va="center", fontsize=7.5, color=ink, path_effects=around, zorder=2
        )
    if line.difference is None:
        return
    if line.interval is not None:
        low, high = line.interval
        axes.plot([low, high], [place, place], color=colour, linewidth=2.2 if line.claimed else 1.4, zorder=3)
    shape = "D" if line.claimed else "o"
    filled = colour if line.verdict == "separable" or not line.claimed else "white"
    axes.plot(
        line.difference, place, shape, color=filled, markeredgecolor=colour, markersize=6, zorder=4,
        markeredgewidth=1.4,
    )  # fmt: skip
    if len(line.dots) > 1:
        values = [value for _, value in line.dots]
        axes.plot(
            values, [place + 0.24] * len(values), "o", color="none", markeredgecolor=colour, markersize=3.4,
            markeredgewidth=0.9, zorder=5,
        )  # fmt: skip


def _numbers(line: Line) -> str:
    if line.difference is None:
        return drawing.label(line.note or "not compared", 30)
    spread = "" if line.interval is None else f" {cells.interval(line.interval, 3)}"
    return cells.signed(line.difference) + spread
