"""Markdown and HTML reports of an experiment, generated from table.json and the event logs.

The HTML page is self-contained: styles are inline and figures are embedded as images, so that no text of a
configuration can run as a script.
"""

import base64
import html
import json
import os
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import atomic, checked_json, filesystem
from prismlab.core.train import event_log
from prismlab.experiments.report import cells, figures, results_table

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --line: #c9c9c9; --soft: #f3f3f1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e1; --paper: #17181a; --line: #46484c; --soft: #222427; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
th:first-child, td:first-child, .words { text-align: left; white-space: normal; }
tbody tr:nth-child(even) { background: var(--soft); }
td small, th small { opacity: .75; }
figure { margin: 1rem 0; } figure img { max-width: 100%; background: #ffffff; padding: .4rem;
  border: 1px solid var(--line); box-sizing: border-box; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dd { margin: 0; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def _text(value: Any) -> str:
    """Convert a value to a string that can be encoded as UTF-8."""
    return str(value).encode("utf-8", errors="backslashreplace").decode("utf-8")


def _escape(value: Any) -> str:
    return html.escape(_text(value), quote=True)


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def read_curves(directory: str | os.PathLike, table: results_table.Table) -> list[figures.Curve]:
    """Return the loss curves of an experiment from its event logs.

    Args:
        directory: folder of table.json.
        table: the table. A log shared by several rows is drawn once. Without `logs`, every events.jsonl below
            the folder is read and labelled with its folder.

    Returns:
        A curve for each value of "train" events whose name contains "loss"; non-finite values are dropped.

    Raises:
        UserError: a listed log is missing or damaged.
    """
    base = filesystem.kept(directory)
    found = table.logs
    if found is None:
        # epath cannot search a bucket recursively; use the paths that the engine writes to.
        below = (
            base.glob("stages/*/events.jsonl") if filesystem.is_remote(base) else base.rglob("events.jsonl")
        )
        names = sorted(path.relative_to(base).as_posix() for path in below)
        found = tuple(results_table.Log(name.rpartition("/")[0], 0, "all", name) for name in names)
    shared: dict[tuple[str, str, int], list[str]] = {}
    for log in found:
        labels = shared.setdefault((_normal(base, log.events), log.stage, log.seed), [])
        labels.extend([log.label] if log.label not in labels else [])
    curves = []
    for (place, stage, seed), labels in shared.items():
        points: dict[str, list[tuple[int, float]]] = {}
        for event in event_log.read(place):
            for name, value in event.items():
                if event["kind"] == "train" and "loss" in name and _finite(value):
                    points.setdefault(name, []).append((event["step"], value))
        label = labels[0] if len(labels) == 1 else f"{labels[0]} (shared by {len(labels)} rows)"
        for name, pairs in points.items():
            steps, values = zip(*pairs)
            curves.append(figures.Curve(label, stage, seed, name, steps, values))
    return curves


def _normal(base: filesystem.Place, name: str) -> str:
    """Return the normalised path of a log."""
    return str(base / name) if filesystem.is_remote(base) else os.path.normpath(base / name)


def _finite(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= checked_json.LARGEST
    )


def _markdown_cell(value: Any) -> str:
    signs = {"|": "\\|", "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": "\\`", "*": "\\*", "[": "\\["}
    line = "".join(sign if sign.isprintable() else " " for sign in _text(value))
    return "".join(signs.get(sign, sign) for sign in line)


def _markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]], words: int) -> list[str]:
    rule = ["---" if index < words else "---:" for index in range(len(columns))]
    written = [[_markdown_cell(value) for value in line] for line in [columns, *lines]]
    return ["| " + " | ".join(line) + " |" for line in [written[0], rule, *written[1:]]]


def write_markdown(table: results_table.Table, path: str | os.PathLike) -> None:
    """Write the table, its protocols and its paired differences as Markdown.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`.
        path: the file to write.

    Raises:
        UserError: the disk is full.
    """
    columns, lines = cells.grid(table)
    text = [f"# {_markdown_cell(table.title or 'Results')}", ""]
    text += _markdown_table(columns, lines, words=1)
    text += [""] + [f"({mark}) {_markdown_cell(note)}  " for mark, note in cells.footnotes(table)[1]]
    if table.paired:
        text += ["", "## Paired differences, same seeds (row minus reference)", ""]
        compared = [cells.comparison_cells(entry) for entry in table.paired]
        text += _markdown_table(cells.COMPARISON_HEADS, compared, words=3)
    atomic.write_atomic(path, ("\n".join(text) + "\n").encode())


def _html_table(columns: Sequence[str], lines: Sequence[Sequence[str]], words: int) -> str:
    def row(tag: str, values: Sequence[str]) -> str:
        shown = []
        for index, value in enumerate(values):
            kind = ' class="words"' if index < words else ""
            shown.append(f"<{tag}{kind}>{_escape(value)}</{tag}>")
        return "<tr>" + "".join(shown) + "</tr>"

    head, body = row("th", columns), "\n".join(row("td", line) for line in lines)
    table = f"<table><thead>{head}</thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _picture(svg: str, words: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f'<figure><img alt="{_escape(words)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _details(name: str, value: Any, *, shown: bool = False) -> str:
    state = " open" if shown else ""
    return f"<details{state}><summary>{_escape(name)}</summary><pre>{_escape(_pretty(value))}</pre></details>"


def write_html(table: results_table.Table, curves: Sequence[figures.Curve], path: str | os.PathLike) -> None:
    """Write the report as one page: table, paired differences, bars, curves, protocols and configuration.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`; additional entries
            are shown collapsed.
        curves: the result of `read_curves`.
        path: the file to write.

    Raises:
        UserError: the disk is full.
    """
    title = _escape(table.title or "Results")
    columns, lines = cells.grid(table)
    notes = "".join(f"<dt>({mark})</dt><dd>{_escape(text)}</dd>" for mark, text in cells.footnotes(table)[1])
    parts = [f"<h1>{title}</h1>", "<p>Mean over seeds, with the 95 % interval in brackets.</p>"]
    parts += [_html_table(columns, lines, words=1)]
    parts += [f"<details open><summary>How each number was measured</summary><dl>{notes}</dl></details>"]
    if table.paired:
        parts += ["<h2>Paired differences</h2>"]
        parts += ["<p>Row minus reference, seed by seed; p adjusted for all comparisons by Holm's rule.</p>"]
        for reference in table.reference:
            against = [entry for entry in table.paired if entry.reference == reference]
            if against:
                parts += [f"<h3>Against {_escape(reference)}</h3>"]
                parts += [_html_table(*cells.comparison_grid(against), words=1)]
        compared = [cells.comparison_cells(entry) for entry in table.paired]
        listed = _html_table(cells.COMPARISON_HEADS, compared, words=3)
        parts += [f"<details><summary>All comparisons, one per line</summary>{listed}</details>"]
    names = table.metric_names
    if names:
        parts.append("<h2>Bars</h2><p>Whisker: 95 % interval; dots: single seeds; dotted line: chance.</p>")
    for name in names:
        rows = [(row.label, row.metrics[name]) for row in table.rows if name in row.metrics]
        parts.append(_picture(figures.bars_svg(name, rows), f"Bars of {name}; the numbers are in the table."))
    for stage in dict.fromkeys(curve.stage for curve in curves):
        chosen = [curve for curve in curves if curve.stage == stage]
        parts.append(f"<h2>Learning curves: {_escape(stage)}</h2>")
        parts.append(_picture(figures.curves_svg(chosen), f"Losses over the steps of {stage}."))
    if table.extra:
        parts.append("<h2>About this experiment</h2>")
        parts += [_details(key, value, shown=key == "command") for key, value in table.extra.items()]
    page = "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            *parts,
            "</body></html>\n",
        ]
    )
    atomic.write_atomic(path, page.encode())


def rebuild(directory: str | os.PathLike) -> results_table.Table:
    """Regenerate report.md and report.html of a folder from its table.json and event logs.

    Args:
        directory: folder of table.json.

    Returns:
        The table that was read, for printing.

    Raises:
        UserError: the table or a log is missing or damaged, or the disk is full.
    """
    base = filesystem.kept(directory)
    if not base.is_dir():
        raise errors.UserError(
            f"expected the folder of an ablation, got {base}; pass the folder that it wrote"
        )
    table = results_table.read_table(base / "table.json")
    curves = read_curves(base, table)
    write_markdown(table, base / "report.md")
    write_html(table, curves, base / "report.html")
    return table
