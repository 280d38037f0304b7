"""Format numbers, intervals and protocols as text, for terminal, Markdown and HTML tables."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

Table = dict[str, Any]


def metric_names(table: Table) -> list[str]:
    """Return the metrics of a table in order of first appearance."""
    return list(dict.fromkeys(name for row in table["rows"] for name in row["metrics"]))


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
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def cell(metric: Mapping[str, Any] | None) -> str:
    """Format a table cell: the mean and its interval, or a dash if there is no score."""
    if metric is None:
        return "–"
    if metric["mean"] is None:
        return "not finite"
    spread = "" if metric["ci95"] is None else f" {interval(metric['ci95'])}"
    return f"{number(metric['mean'])}{spread}"


def protocol_text(metric: Mapping[str, Any]) -> str:
    """Format the protocol of a score as one line."""
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in metric["protocol"].items()]
    method = metric.get("method")
    return ", ".join(parts + ([f"interval: {method}"] if method else [])) or "no protocol given"


def footnotes(table: Table) -> tuple[dict[tuple[str, str], str], list[tuple[str, str]]]:
    """Assign a footnote mark to each distinct protocol.

    Args:
        table: the table.

    Returns:
        (row label, metric) -> mark, and the list of (mark, text) in order; equal protocols share a mark.
    """
    marks: dict[str, str] = {}
    where: dict[tuple[str, str], str] = {}
    for name in metric_names(table):
        for row in table["rows"]:
            if name in row["metrics"]:
                text = protocol_text(row["metrics"][name])
                index = len(marks)
                letters = string.ascii_lowercase
                mark = letters[index] if index < 26 else letters[index // 26 - 1] + letters[index % 26]
                where[row["label"], name] = marks.setdefault(text, mark)
    return where, [(mark, text) for text, mark in marks.items()]


def heads(table: Table) -> dict[str, str]:
    """Return metric -> mark for metrics with one protocol in all rows; other marks go into the cells."""
    where, _ = footnotes(table)
    shared = {}
    for name in metric_names(table):
        marks = {mark for (_, metric), mark in where.items() if metric == name}
        if len(marks) == 1:
            shared[name] = marks.pop()
    return shared


def comparison_cells(entry: Mapping[str, Any]) -> list[str]:
    """Format a paired comparison as strings, in the order of COMPARISON_HEADS."""
    difference = entry["difference"]
    signed = "–" if difference is None else ("+" if difference > 0 else "") + number(difference)
    spread = entry.get("note") or ("–" if entry["ci95"] is None else interval(entry["ci95"], 3))
    ps = [probability(entry["p"]), probability(entry["p_holm"])]
    return [entry["row"], entry["reference"], entry["metric"], signed, spread, *ps, str(entry["n"])]


COMPARISON_HEADS = ["row", "against", "metric", "difference", "95 % interval", "p", "p (Holm)", "pairs"]


def grid(table: Table) -> tuple[list[str], list[list[str]]]:
    """Format the table as strings: the column heads, and one line per row.

    The mark of a metric with the same protocol in all rows is in its head; otherwise marks are in the cells.
    """
    where, _ = footnotes(table)
    shared = heads(table)
    names = metric_names(table)
    columns = ["row", *(f"{name} ({shared[name]})" if name in shared else name for name in names)]
    lines = []
    for row in table["rows"]:
        line = [row["label"]]
        for name in names:
            own = name in row["metrics"] and name not in shared
            mark = f" ({where[row['label'], name]})" if own else ""
            line.append(cell(row["metrics"].get(name)) + mark)
        lines.append(line)
    return columns, lines


def comparison_grid(compared: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Format the comparisons with one reference row as strings: the heads, and one line per row."""
    names = list(dict.fromkeys(entry["metric"] for entry in compared))
    found = {(entry["row"], entry["metric"]): comparison_cells(entry) for entry in compared}
    lines = []
    for label in dict.fromkeys(entry["row"] for entry in compared):
        line = [label]
        for name in names:
            if (label, name) not in found:
                line.append("–")
                continue
            _, _, _, signed, spread, _, p, _ = found[label, name]
            line.append(
                " ".join([signed, *([spread] if spread != "–" else []), *([f"p {p}"] if p != "–" else [])])
            )
        lines.append(line)
    return ["row", *names], lines
