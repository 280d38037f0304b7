"""Markdown and HTML reports of an experiment, generated from table.json and the event logs.

The HTML page is self-contained: styles are inline and figures are embedded as images, so that no text of a
configuration can run as a script.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console, html_page
from prismlab.experiments.report import cells, claim_verdicts, curves, figures, forest, results_table


def _markdown_cell(value: Any) -> str:
    signs = {"|": "\\|", "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": "\\`", "*": "\\*", "[": "\\["}
    return "".join(signs.get(sign, sign) for sign in console.escaped(value))


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
    text += [f"- {_markdown_cell(line)}" for line in claim_verdicts.sentences(table)]
    text += [""] if table.claims else []
    text += _markdown_table(columns, lines, words=1)
    text += [""] + [f"({mark}) {_markdown_cell(note)}  " for mark, note in cells.footnotes(table)[1]]
    text += ["", f"Intervals: {cells.SCOPE}."]
    if table.paired:
        text += ["", "## Exploratory differences, same seeds (row minus reference, 95 % intervals)", ""]
        compared = [cells.comparison_cells(entry) for entry in table.paired]
        text += _markdown_table(cells.COMPARISON_HEADS, compared, words=3)
    filesystem.write_atomic(path, ("\n".join(text) + "\n").encode())


def write_html(table: results_table.Table, drawn: Sequence[figures.Curve], path: str | os.PathLike) -> None:
    """Write the report as one page: verdicts, table, differences, bars, curves, protocols, configuration.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`; additional entries
            are shown collapsed.
        drawn: the result of `curves.read_curves`.
        path: the file to write.

    Raises:
        UserError: the disk is full.
    """
    of = lambda entries, label: [entry for entry in entries if entry.reference == label]
    panels = forest.panels(table)
    against = [(label, of(table.paired, label), of(table.claims, label)) for label in table.reference]
    bars = [
        (name, [(row.label, row.metrics[name]) for row in table.rows if name in row.metrics])
        for name in table.metric_names
    ]
    stages: dict[str, list[figures.Curve]] = {}
    for curve in drawn:
        stages.setdefault(curve.stage, []).append(curve)
    page = html_page.render(
        "report.html",
        title=table.title or "Results",
        verdicts=[
            (entry.verdict, line) for entry, line in zip(table.claims, claim_verdicts.sentences(table))
        ],
        forest=[
            (f"{panel.metric}: differences to {panel.reference}", _picture(drawn_panel))
            for panel, drawn_panel in zip(panels, forest.svgs(panels))
        ],
        scope=cells.SCOPE,
        table=cells.grid(table),
        notes=cells.footnotes(table)[1],
        compared=[(label, cells.comparison_grid(each, claims)) for label, each, claims in against if each],
        paired=table.paired
        and (cells.COMPARISON_HEADS, [cells.comparison_cells(entry) for entry in table.paired]),
        bars=[(name, _picture(figures.bars_svg(name, rows))) for name, rows in bars],
        cut=len(table.rows) > figures.MOST_ROWS and figures.MOST_ROWS,
        curves=[(stage, _picture(figures.curves_svg(each))) for stage, each in stages.items()],
        extra=[(name, _pretty(value)) for name, value in table.extra.items()],
    )
    filesystem.write_atomic(path, page.encode())


def _picture(svg: str) -> str:
    return html_page.picture(svg.encode(), "image/svg+xml")


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


def rebuild(directory: str | os.PathLike) -> results_table.Table:
    """Regenerate report.md and report.html of a folder from its table.json and event logs.

    Args:
        directory: folder of table.json.

    Returns:
        The table that was read, for printing.

    Raises:
        UserError: the table or a log is missing or damaged, or the disk is full.
    """
    base = filesystem.as_path(directory)
    if not base.is_dir():
        raise errors.UserError(
            f"expected the folder of an ablation, got {base}; pass the folder that it wrote"
        )
    table = results_table.read_table(base / "table.json")
    write_pages(table, base, base)
    return table


def write_pages(table: results_table.Table, directory: filesystem.Path, out: filesystem.Path) -> None:
    """Write report.md and report.html.

    Args:
        table: see `write_html`.
        directory: folder that the table's event logs are relative to.
        out: folder to write to, created if missing.

    Raises:
        UserError: a log is missing or damaged, or the folder cannot be written.
    """
    drawn = curves.read_curves(directory, table)
    write_markdown(table, out / "report.md")
    write_html(table, drawn, out / "report.html")
