"""Tables of a page whose cells have a class: "separable" (claimed and separable), "claimed", or "grey"."""

from collections.abc import Sequence
from typing import TypeAlias

from prismlab.experiments.report import compute_plot, forest, page_facts
from prismlab.experiments.statistics import cells, results_table, two_part

Marked: TypeAlias = tuple[str, str]  # text and class
GREY, CLAIMED, SEPARABLE = "grey", "claimed", "separable"


def results(
    table: results_table.Table, panels: Sequence[forest.Panel]
) -> tuple[list[str], list[list[Marked]]]:
    """Return heads and lines of the table: claimed metrics with their differences first, the others in grey.

    Without claims, the metrics have their means only and none is grey.

    Args:
        table: the table.
        panels: of the forest plot.
    """
    where, shared = cells.footnotes(table)[0], cells.heads(table)
    claimed = list(
        dict.fromkeys(entry.metric for entry in table.claims if entry.metric in table.metric_names)
    )
    columns = [(name, [panel for panel in panels if panel.metric == name]) for name in claimed]
    columns += [(name, []) for name in table.metric_names if name not in claimed]
    heads = ["row"]
    for name, compared in columns:
        heads.append(f"{name} ({shared[name]})" if name in shared else name)
        heads += [f"{name}: minus {panel.reference}" for panel in compared]
    lines = []
    for row in table.rows:
        line: list[Marked] = [(row.label, "")]
        for name, compared in columns:
            own = name in row.metrics and name not in shared
            mark = f" ({where[row.label, name]})" if own else ""
            style = GREY if claimed and name not in claimed else ""
            line.append((cells.cell(row.metrics.get(name)) + mark, style))
            line += [_difference(panel, row.label) for panel in compared]
        lines.append(line)
    return heads, lines


def _difference(panel: forest.Panel, row: str) -> Marked:
    line = next((each for each in panel.lines if each.row == row), None)
    if line is None:
        return "", ""
    style = CLAIMED if line.claimed else GREY
    if line.claimed and line.verdict == two_part.SEPARABLE:
        style = SEPARABLE
    spread = "" if line.interval is None else f" {cells.interval(line.interval, 3)}"
    return cells.signed(line.difference) + spread, style


def compute(table: results_table.Table, costs: Sequence[page_facts.Cost]) -> list[list[Marked]]:
    """Return one line a row: its number, label, training FLOPs and device-hours, means over its seeds."""
    known = [compute_plot.means(costs, axis) for axis in compute_plot.AXES]
    flops, hours = known
    return [
        [
            (f"{place} {row.label}", ""),
            (f"{flops[row.label]:.3g}" if row.label in flops else "–", ""),
            (f"{hours[row.label]:.3g}" if row.label in hours else "–", ""),
        ]
        for place, row in enumerate(table.rows, 1)
    ]


def lost(table: results_table.Table) -> list[str]:
    """Return one line for each row and metric with seeds whose score is not finite."""
    found = []
    for row in table.rows:
        for name, cell in row.metrics.items():
            seeds = [
                str(seed)
                for seed, value, size in zip(row.seeds, cell.values, cell.sizes or cell.values)
                if value is None and size is not None
            ]
            if seeds:
                found.append(f"{row.label}, {name}: not finite with seed {', '.join(seeds)}")
    return found
