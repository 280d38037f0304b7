"""Format numbers, intervals and protocols as text, for terminal, Markdown and HTML tables."""

import string
from collections.abc import Sequence

from prismlab.experiments.statistics import comparisons, results_table

_UNTUNED = "hyper-parameters not re-tuned per row"


def number(value: float, places: int = 3) -> str:
    """Format a number, with fewer decimal places the larger it is; scientific notation above a million."""
    size = abs(value)
    if size >= 1e6:
        return f"{value:.3e}"
    text = f"{value:.{places if size < 10 else max(0, places - 2)}f}"
    # Avoid "-0.000" for a small negative number.
    return text.lstrip("-") if float(text) == 0 else text


def interval(ci95: Sequence[float], places: int = 2) -> str:
    """Format an interval in square brackets."""
    return f"[{number(ci95[0], places)}, {number(ci95[1], places)}]"


def probability(p: float | None) -> str:
    """Format a p value; a dash if nothing was tested."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def cell(metric: results_table.Cell | None) -> str:
    """Format a table cell: the mean and its interval, or a dash if there is no score."""
    if metric is None:
        return "–"
    if metric.mean is None:
        lost = sum(value is None and size is not None for value, size in zip(metric.values, metric.sizes))
        return f"diverged {lost} of {len(metric.values)}" if lost else "not finite"
    spread = "" if metric.ci95 is None else f" {interval(metric.ci95)}"
    return f"{number(metric.mean)}{spread}"


def protocol_text(metric: results_table.Cell) -> str:
    """Format the protocol of a score as one line."""
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in metric.protocol.items()]
    return ", ".join(parts + ([f"interval: {metric.method}"] if metric.method else [])) or "no protocol given"


def scope(table: results_table.Table) -> str:
    """Return what the intervals of a table speak of, for the foot of every table, page and figure.

    Without outcomes of single items, as in tables of earlier versions, they speak of new seeds only; with one
    seed, of new clips only.
    """
    by_clip = [bool(entry.clips) for entry in table.claims if entry.n]
    by_clip += [bool(entry.clips) for entry in table.paired if entry.n]
    cells = [cell for row in table.rows for cell in row.metrics.values()]
    if cells and max(len(cell.values) for cell in cells) == 1:
        return f"new clips of the same data, for the one seed that was run; {_UNTUNED}"
    own = any(cell.method.startswith("two-part") for cell in cells)
    if not own and not any(by_clip):
        return f"new seeds on the same test clips; {_UNTUNED}"
    only = "" if all(by_clip) else " (those that say seeds only: on the same clips)"
    return f"new seeds and new clips of the same data{only}; {_UNTUNED}"


def mark(index: int) -> str:
    """Return the footnote mark of a number from 0: a, b, ..., z, aa, ab, ..., zz, aaa, ..."""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = string.ascii_lowercase[letter] + letters
    return letters


def footnotes(table: results_table.Table) -> tuple[dict[tuple[str, str], str], list[tuple[str, str]]]:
    """Assign a footnote mark to each distinct protocol.

    Args:
        table: the table.

    Returns:
        (row label, metric) -> mark, and the list of (mark, text) in order; equal protocols share a mark. Code
        that the user accepted is listed with the mark "!".
    """
    marks: dict[str, str] = {}
    where: dict[tuple[str, str], str] = {}
    for name in table.metric_names:
        for row in table.rows:
            if name in row.metrics:
                text = protocol_text(row.metrics[name])
                where[row.label, name] = marks.setdefault(text, mark(len(marks)))
    accepted = [("!", text) for text in table.accepted_code]
    return where, [*accepted, *((mark, text) for text, mark in marks.items())]


def heads(table: results_table.Table) -> dict[str, str]:
    """Return metric -> mark for metrics with one protocol in all rows; other marks go into the cells."""
    marks: dict[str, set[str]] = {}
    for (_, metric), mark in footnotes(table)[0].items():
        marks.setdefault(metric, set()).add(mark)
    return {metric: found.pop() for metric, found in marks.items() if len(found) == 1}


def signed(difference: float | None) -> str:
    """Format a difference with its sign; a dash if nothing was compared."""
    return "–" if difference is None else ("+" if difference > 0 else "") + number(difference)


def basis(seeds: int, clips: int | None) -> str:
    """Format what an interval speaks of: "6 seeds x 3,000 clips", or "6 seeds" alone."""
    words = f"{seeds} seed{'s' * (seeds != 1)}"
    return f"{words} x {clips:,} clips" if clips else words


def comparison_cells(entry: comparisons.Comparison) -> list[str]:
    """Format a paired comparison as strings, in the order of COMPARISON_HEADS."""
    spread = "–" if entry.ci95 is None else interval(entry.ci95, 3)
    over = "; ".join([*([basis(entry.n, entry.clips)] if entry.n else []), *filter(None, [entry.note])])
    return [entry.row, entry.reference, entry.metric, signed(entry.difference), spread, over or "–"]


COMPARISON_HEADS = ["row", "against", "metric", "difference", "95 % interval", "over"]


def grid(table: results_table.Table) -> tuple[list[str], list[list[str]]]:
    """Format the table as strings: the column heads, and one line per row.

    The mark of a metric with the same protocol in all rows is in its head; otherwise marks are in the cells.
    """
    where, _ = footnotes(table)
    shared = heads(table)
    names = table.metric_names
    columns = ["row", *(f"{name} ({shared[name]})" if name in shared else name for name in names)]
    lines = []
    for row in table.rows:
        line = [row.label]
        for name in names:
            own = name in row.metrics and name not in shared
            mark = f" ({where[row.label, name]})" if own else ""
            line.append(cell(row.metrics.get(name)) + mark)
        lines.append(line)
    return columns, lines


def comparison_grid(
    compared: Sequence[comparisons.Comparison], claims: Sequence[comparisons.Claim] = ()
) -> tuple[list[str], list[list[str]]]:
    """Format the comparisons with one reference row as strings: the heads, and one line per row.

    Args:
        compared: exploratory comparisons.
        claims: claims of the table with this reference, by whose number their differences are marked.
    """
    found = {(entry.row, entry.metric): _brief(entry) for entry in compared}
    found |= {(entry.row, entry.metric): f"{signed(entry.difference)} (claim)" for entry in claims}
    names = list(dict.fromkeys(metric for _, metric in found))
    lines = [
        [label, *(found.get((label, name), "–") for name in names)]
        for label in dict.fromkeys(row for row, _ in found)
    ]
    return ["row", *names], lines


def _brief(entry: comparisons.Comparison) -> str:
    spread = [] if entry.ci95 is None else [interval(entry.ci95, 3)]
    return " ".join([signed(entry.difference), *spread, *([f"({entry.note})"] if entry.note else [])])
