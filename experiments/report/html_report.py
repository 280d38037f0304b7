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
from prismlab.experiments.report import (
    compute_plot,
    figures,
    forest,
    page_facts,
    page_tables,
    scale_plot,
    stage_logs,
)
from prismlab.experiments.statistics import cells, claim_verdicts, results_table, scale_curves, variance_split


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
    text += ["", f"Intervals: {cells.scope(table)}."]
    text += [""] * bool(table.matched)
    text += [f"- {_markdown_cell(f'{each.row}: {each.text}')}" for each in table.matched]
    if table.scales:
        text += ["", "## Differences by scale (row minus reference, same seeds, 95 % intervals)"]
    for curve in table.scales:
        text += ["", f"### {_markdown_cell(f'{curve.metric}: {curve.row} minus {curve.reference}')}", ""]
        text += [f"{_markdown_cell(scale_curves.sentence(curve))}.", ""]
        text += _markdown_table(scale_curves.HEADS, scale_curves.lines(curve), words=1)
    if table.paired:
        text += ["", "## Exploratory differences, same seeds (row minus reference, 95 % intervals)", ""]
        compared = [cells.comparison_cells(entry) for entry in table.paired]
        text += _markdown_table(cells.COMPARISON_HEADS, compared, words=3)
    filesystem.write_atomic(path, ("\n".join(text) + "\n").encode())


def write_html(
    table: results_table.Table,
    logs: Sequence[stage_logs.StageLog],
    path: str | os.PathLike,
    facts: page_facts.Facts | None = None,
) -> None:
    """Write the report as one page, from the verdicts down to the protocols.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`; additional entries
            are shown collapsed.
        logs: the result of `stage_logs.read`.
        path: the file to write.
        facts: what else is known of the rows; None leaves their sections out.

    Raises:
        UserError: the disk is full.
    """
    facts = facts or page_facts.Facts()
    panels = [] if table.scales else forest.panels(table)
    shown = (entry.metric for entry in (table.claims or table.scales) if table.scales)
    metrics = list(dict.fromkeys([*(panel.metric for panel in panels), *shown]))
    stages: dict[str, list[figures.Curve]] = {}
    for curve in stage_logs.curves(logs):
        stages.setdefault(curve.stage, []).append(curve)
    of = lambda entries, label: [entry for entry in entries if entry.reference == label]
    against = [(label, of(table.paired, label), of(table.claims, label)) for label in table.reference]
    page = html_page.render(
        "report.html",
        title=table.title or "Results",
        verdicts=[
            (entry.verdict or "no verdict", line)
            for entry, line in zip(table.claims, claim_verdicts.sentences(table))
        ],
        scope=cells.scope(table),
        forest=[
            (f"{panel.metric}: differences to {panel.reference}", _picture(drawn))
            for panel, drawn in zip(panels, forest.svgs(panels))
        ],
        scales=[
            (words, _picture(svg), scale_curves.sentence(curve), scale_curves.lines(curve))
            for (words, svg), curve in zip(scale_plot.panels(table, table.scales), table.scales)
        ],
        scale_heads=scale_curves.HEADS,
        matched=table.matched,
        table=page_tables.results(table, panels),
        compared=[(label, cells.comparison_grid(each, claims)) for label, each, claims in against if each],
        paired=table.paired
        and (cells.COMPARISON_HEADS, [cells.comparison_cells(entry) for entry in table.paired]),
        changes=facts.changes,
        splits=variance_split.splits(table, metrics),
        compute=_pictures(compute_plot.panels(table, facts.costs, metrics or table.metric_names[:1])),
        costs=page_tables.compute(table, facts.costs) if facts.costs else [],
        curves=[(stage, _pictures(figures.curve_panels(each))) for stage, each in stages.items()],
        cut=len(table.rows) > figures.MOST_ROWS and figures.MOST_ROWS,
        seen=[(each, _png(each.picture)) for each in facts.seen],
        disagreements=[
            (each, [(words, [(clip, _png(clip.picture)) for clip in clips]) for words, clips in
                    ((f"{each.row} is better", each.gained), (f"{each.reference} is better", each.lost))])
            for each in facts.disagreements
        ],
        health=facts.health,
        lost=page_tables.lost(table),
        notes=cells.footnotes(table)[1],
        certificates=facts.certificates,
        certificate=facts.certificate,
        extra=[(name, _pretty(value)) for name, value in table.extra.items()],
    )  # fmt: skip
    filesystem.write_atomic(path, page.encode())


def _picture(svg: str) -> str:
    return html_page.picture(svg.encode(), "image/svg+xml")


def _pictures(drawn: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(words, _picture(svg)) for words, svg in drawn]


def _png(picture: bytes | None) -> str:
    return "" if picture is None else html_page.picture(picture, "image/png")


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
    write_pages(table, stage_logs.read(base, table), base)
    return table


def write_pages(
    table: results_table.Table,
    logs: Sequence[stage_logs.StageLog],
    out: filesystem.Path,
    facts: page_facts.Facts | None = None,
) -> None:
    """Write report.md and report.html.

    Args:
        table, logs, facts: see `write_html`.
        out: folder to write to, created if missing.

    Raises:
        UserError: the folder cannot be written.
    """
    write_markdown(table, out / "report.md")
    write_html(table, logs, out / "report.html", facts)
