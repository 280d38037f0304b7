"""Results table of an experiment: build it, save it as table.json, load and print it.

table.json: {"rows": [{"label", "seeds": [...], "metrics": {name: {"values": [...], "sizes": [...], "mean",
"ci95": [low, high] or null, "method", "protocol": {...}}}}], "reference": [label, ...], "paired": [{"row",
"reference", "metric", "difference", "ci95", "p", "p_holm", "n"}], ...}.
`values` and `sizes` are in the order of the row's seeds; null if a seed lacks the metric. Additional keys
("command", "config", "commit", "logs", ...) are kept and displayed unchanged.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from prismlab.core import errors
from prismlab.core.io import atomic, filesystem
from prismlab.experiments import console as terminal
from prismlab.experiments.report import cells, stats

Table = dict[str, Any]


def _number(value: Any) -> float | None:
    """Return a number for JSON: None if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def _group(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Return label -> seed -> metrics, rows in order of appearance."""
    rows: dict[str, dict[int, Mapping[str, Any]]] = {}
    for result in results:
        seeds = rows.setdefault(result["label"], {})
        if result["seed"] in seeds:
            raise errors.UserError(
                f"expected one result per row and seed, but row {result['label']!r} has two for seed "
                f"{result['seed']}; give the rows different names"
            )
        seeds[result["seed"]] = result["metrics"]
    return rows


def _metric(label: str, name: str, found: list[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return one metric of one row; `found` has one entry or None per seed."""
    there = [entry for entry in found if entry is not None]
    protocol = dict(there[0].get("protocol") or {})
    for entry in there:
        if dict(entry.get("protocol") or {}) != protocol:
            raise errors.UserError(
                f"expected one protocol for all seeds of {name!r} in row {label!r}, got {protocol} and "
                f"{entry['protocol']}; evaluate these seeds with the same protocol"
            )
    values = [entry["value"] for entry in there]
    sizes = [int(entry.get("n") or 0) for entry in there]
    return {
        "values": [None if entry is None else _number(entry["value"]) for entry in found],
        "sizes": [None if entry is None else int(entry.get("n") or 0) for entry in found],
        **stats.summary(values, sizes),
        "protocol": protocol,
    }


def _compare(row: Table, reference: Table, name: str) -> dict[str, Any]:
    """Return the paired comparison of one metric over the seeds that both rows share."""
    ours, theirs = row["metrics"][name], reference["metrics"][name]
    entry: dict[str, Any] = {"row": row["label"], "reference": reference["label"], "metric": name}
    if ours["protocol"] != theirs["protocol"]:
        return entry | {"difference": None, "ci95": None, "p": None, "n": 0, "note": "protocols differ"}
    mine, other = dict(zip(row["seeds"], ours["values"])), dict(zip(reference["seeds"], theirs["values"]))
    seeds = [seed for seed in mine if mine[seed] is not None and other.get(seed) is not None]
    compared = stats.paired([mine[seed] for seed in seeds], [other[seed] for seed in seeds])
    return entry | dict(compared) | {"seeds": seeds}


def build_table(
    results: Sequence[Mapping[str, Any]], *, reference: Sequence[str] = (), **extra: Any
) -> Table:
    """Collect the results of all rows and seeds into one table.

    Args:
        results: one entry per row and seed: {"label", "seed", "metrics": {name: {"value", "n", "protocol"}}},
            where n is the number of test items if the value is an accuracy (0 or absent otherwise).
        reference: labels of the rows that every other row is compared with, seed by seed; two reference rows
            are compared once, the later with the earlier one.
        extra: additional top-level entries, such as command, config or logs; they must be plain JSON.

    Returns:
        The table in the format of the module docstring. Holm's adjustment (p_holm) covers all comparisons.

    Raises:
        UserError: a row has two results for a seed, or seeds with different protocols, or a reference is not
            a row.
    """
    groups = _group(results)
    missing = [label for label in reference if label not in groups]
    if missing:
        raise errors.UserError(
            f"expected reference rows among {list(groups)}, got {missing}; correct the label"
        )
    rows: list[Table] = []
    for label, seeds in groups.items():
        order = sorted(seeds)
        names = dict.fromkeys(name for seed in order for name in seeds[seed])
        metrics = {name: _metric(label, name, [seeds[seed].get(name) for seed in order]) for name in names}
        rows.append({"label": label, "seeds": order, "metrics": metrics})
    comparisons = [
        _compare(row, other, name)
        for place, other in enumerate(rows)
        if other["label"] in reference
        for row in [row for row in rows[:place] if row["label"] not in reference] + rows[place + 1 :]
        for name in row["metrics"]
        if name in other["metrics"]
    ]
    adjusted = stats.holm([entry["p"] for entry in comparisons])
    paired = [entry | {"p_holm": p} for entry, p in zip(comparisons, adjusted)]
    return {"rows": rows, "reference": list(reference), "paired": paired, **extra}


def write_table(table: Table, path: str | os.PathLike) -> None:
    """Write table.json atomically.

    Raises:
        UserError: the disk is full.
    """
    text = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False)
    atomic.write_atomic(path, text.encode("utf-8", errors="backslashreplace") + b"\n")


def read_table(path: str | os.PathLike) -> Table:
    """Read a table.json.

    Raises:
        UserError: the file is missing or is not a valid table.
    """
    source = filesystem.kept(path)
    if not source.is_file():
        raise errors.UserError(
            f"expected the results at {source}, but there is no such file; "
            "run the ablation first, or pass the folder that it wrote"
        )
    try:
        table = json.loads(source.read_text(encoding="utf-8"))
        rows = [(row["label"], row["seeds"], row["metrics"]) for row in table["rows"]]
        found = [metric for _, _, metrics in rows for metric in metrics.values()]
        assert all({"values", "mean", "ci95", "protocol"} <= set(metric) for metric in found)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise errors.UserError(
            f"expected a table with rows, seeds and metrics in {source}, got invalid content "
            f"({error!r}); run the ablation again to rewrite it"
        ) from error
    return table


def _grid(
    console: rich.console.Console, columns: Sequence[str], lines: Sequence[Sequence[str]], words: int
) -> None:
    """Print a table; the first `words` columns are left-aligned text, the others right-aligned numbers."""
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    fits = sum(max(len(line[index]) for line in [columns, *lines]) + 2 for index in range(len(columns)))
    for index, name in enumerate(columns):
        side: Any = "left" if index < words else "right"
        head = rich.text.Text(terminal.printable(name, console))
        grid.add_column(head, justify=side, overflow="fold", no_wrap=index >= words and fits <= console.width)
    for line in lines:
        grid.add_row(*(rich.text.Text(terminal.printable(text, console)) for text in line))
    console.print(grid)


def print_table(table: Table, console: rich.console.Console) -> None:
    """Print the table, its protocols and its paired comparisons; a wide table is printed in parts.

    Args:
        table: the result of `build_table` or `read_table`.
        console: console to print to.
    """
    _in_parts(console, *cells.grid(table))
    for mark, text in cells.footnotes(table)[1]:
        terminal.say(console, f"({mark}) {text}")
    terminal.say(console, "")
    for reference in table.get("reference", []):
        compared = [entry for entry in table["paired"] if entry["reference"] == reference]
        if compared:
            terminal.say(console, f"Paired differences to {reference}, same seeds (p by Holm's rule):")
            _in_parts(console, *cells.comparison_grid(compared))


def _in_parts(console: rich.console.Console, heads: list[str], body: list[list[str]]) -> None:
    """Print as many columns side by side as fit, then the remaining ones below."""
    widths = [max(len(line[index]) for line in [heads, *body]) + 2 for index in range(len(heads))]
    first = 1
    while first < len(heads):
        last, used = first + 1, widths[0] + widths[first]
        while last < len(heads) and used + widths[last] <= console.width:
            used += widths[last]
            last += 1
        lines = [[line[0], *line[first:last]] for line in body]
        _grid(console, [heads[0], *heads[first:last]], lines, words=1)
        terminal.say(console, "")
        first = last
