r"""Results as a LaTeX table: booktabs rules, siunitx columns, claims in black, exploratory numbers in grey.

The text is a fragment for `\input`. A document needs the packages `booktabs`, `siunitx` and `xcolor`.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from prismlab.experiments.report import forest, latex_text
from prismlab.experiments.statistics import cells, claim_verdicts, results_table, two_part

_GREY = r"\color{black!55} "
_BOLD = r"\bfseries "
_MOST_LINES = 30  # rows of a table, over all its metrics; more do not fit a page
_MOST_MEANS = 4  # columns of a table of means
_SETTINGS = r"\sisetup{separate-uncertainty=true, retain-explicit-plus=true, detect-weight=true, mode=text}"


@dataclasses.dataclass(frozen=True)
class _Block:
    """One metric of the table: its columns are the mean, then two for each reference."""

    metric: str
    panels: tuple[forest.Panel, ...]


def text(table: results_table.Table) -> str:
    """Return the table as LaTeX: claimed metrics with their differences, then the means of the others.

    Bold is a difference that was claimed and is separable from 0, and nothing else.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`.
    """
    found = forest.panels(table)
    shown = list(dict.fromkeys(panel.metric for panel in found)) or table.metric_names[:1]
    blocks = [_Block(name, tuple(each for each in found if each.metric == name)) for name in shown]
    others = [name for name in table.metric_names if name not in shown]
    lines = [
        latex_text.comment(r"Written by prismlab report --latex; \input it in a document with"),
        latex_text.comment(r"\usepackage{booktabs, siunitx, xcolor} and \usepackage[T1]{fontenc}."),
    ]
    each = max(1, _MOST_LINES // max(1, len(table.rows)))
    for start in range(0, len(blocks), each):
        lines += [""] * (start > 0) + _differences(table, blocks[start : start + each], start)
    parts = max(1, math.ceil(len(others) / _MOST_MEANS))
    for part in np.array_split(np.asarray(others, object), parts) if others else []:
        lines += ["", *_means(table, list(part))]
    return "\n".join(lines) + "\n"


def _differences(table: results_table.Table, blocks: Sequence[_Block], start: int) -> list[str]:
    marks = _marks(blocks)
    places = {block.metric: _places(table, [block.metric]) for block in blocks}
    whole = max(_whole(table, block.metric) for block in blocks)
    digits = max(places.values())
    columns = f"p{{0.27\\linewidth}}S[table-format={whole}.{digits}({digits})]"
    columns += f"S[table-format=+{whole}.{digits}]c" * len(marks)
    spans = [rf"\multicolumn{{2}}{{c}}{{minus {mark}}}" for mark in marks.values()]
    rules = [rf"\cmidrule(lr){{{place}-{place + 1}}}" for place in range(3, 3 + 2 * len(marks), 2)]
    heads = ["row", "{mean}", *[r"{$\Delta$}", "interval"] * len(marks)]
    body: list[str] = []
    for block in blocks:
        if len(blocks) > 1:
            span = 2 + 2 * len(marks)
            title = latex_text.escaped(block.metric)
            body += [r"\midrule" * bool(body) + rf"\multicolumn{{{span}}}{{@{{}}l}}{{\emph{{{title}}}}} \\"]
        body += [_row(row, block, marks, places[block.metric]) for row in table.rows]
    head = [f" & & {' & '.join(spans)} \\\\", "".join(rules)] if marks else []
    caption = _caption(table, [block.metric for block in blocks], marks)
    lines = [*head, f"{' & '.join(heads)} \\\\", r"\midrule", *body]
    verdicts = [] if start else claim_verdicts.sentences(table)
    below = [rf"{latex_text.escaped(line)}\par" for line in verdicts]
    label = "tab:differences" + (f"-{cells.mark(start)}" if start else "")
    return _floating(caption, label, columns, lines, below)


def _means(table: results_table.Table, names: Sequence[str]) -> list[str]:
    columns = "p{0.27\\linewidth}" + "".join(
        f"S[table-format={_whole(table, name)}.{_places(table, [name])}({_places(table, [name])})]"
        for name in names
    )
    heads = ["row", *(f"{{{latex_text.escaped(name)}}}" for name in names)]
    lines = [f"{' & '.join(heads)} \\\\", r"\midrule"]
    for row in table.rows:
        values = [_mean(row.metrics.get(name), _places(table, [name]), _GREY) for name in names]
        lines.append(f"{_label(row.label)} & {' & '.join(values)} \\\\")
    listed = ", ".join(latex_text.escaped(name) for name in names)
    caption = [
        f"{_title(table)}: {listed}; no claim is about them, so they are exploratory (grey).",
        _sizes(table, names), *_spread(table, names),
    ]  # fmt: skip
    return _floating(caption, f"tab:means-{cells.mark(table.metric_names.index(names[0]))}", columns, lines)


def _floating(
    caption: Sequence[str], label: str, columns: str, lines: Sequence[str], below: Sequence[str] = ()
) -> list[str]:
    return [
        r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}", _SETTINGS,
        rf"\caption{{{' '.join(filter(None, caption))}}}\par\smallskip", rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}",
        *([r"\par\smallskip\raggedright", *below] if below else []), r"\end{table}",
    ]  # fmt: skip


def _marks(blocks: Sequence[_Block]) -> dict[str, str]:
    """Return reference -> letter."""
    references = dict.fromkeys(panel.reference for block in blocks for panel in block.panels)
    return {label: cells.mark(place).upper() for place, label in enumerate(references)}


def _row(row: results_table.Row, block: _Block, marks: dict[str, str], places: int) -> str:
    label = _label(row.label) + (f" ({marks[row.label]})" if row.label in marks else "")
    values = [_mean(row.metrics.get(block.metric), places, "")]
    for reference in marks:
        panel = next((each for each in block.panels if each.reference == reference), None)
        line = next((each for each in panel.lines if each.row == row.label), None) if panel else None
        values += _difference(line, places)
    return f"{label} & {' & '.join(values)} \\\\"


def _label(label: str) -> str:
    # Braces: a label that begins with a bracket is not an argument of the end of the line before.
    return rf"\raggedright {{{latex_text.escaped(label)}}}"


def _mean(cell: results_table.Cell | None, places: int, style: str) -> str:
    if cell is None or cell.mean is None:
        return f"{{{style}{latex_text.escaped(cells.cell(cell))}}}"
    half = _half(cell)
    spread = "" if half is None else rf" \pm {half:.{places}f}"
    return f"{style}{cell.mean:.{places}f}{spread}"


def _half(cell: results_table.Cell) -> float | None:
    """Return the half width of an interval that is symmetric, as all but Wilson's are."""
    if cell.mean is None or cell.ci95 is None:
        return None
    low, high = cell.mean - cell.ci95[0], cell.ci95[1] - cell.mean
    return (low + high) / 2 if abs(low - high) <= 1e-9 * max(1.0, abs(cell.mean)) else None


def _difference(line: forest.Line | None, places: int) -> list[str]:
    if line is None or line.difference is None:
        return ["{--}", "--"]
    style = "" if line.claimed else _GREY
    if line.claimed and line.verdict == two_part.SEPARABLE:
        style = _BOLD
    ends = [] if line.interval is None else [f"${end:+.{places}f}$" for end in line.interval]
    return [f"{style}{line.difference:+.{places}f}", f"{style}[{', '.join(ends)}]" if ends else "--"]


def _places(table: results_table.Table, names: Sequence[str]) -> int:
    """Return the decimal places of metrics: 3 for shares, fewer for larger numbers."""
    return 3 if max(_largest(table, name) for name in names) < 10 else 1


def _whole(table: results_table.Table, name: str) -> int:
    """Return the digits before the decimal point of a metric."""
    return len(str(int(_largest(table, name))))


def _largest(table: results_table.Table, name: str) -> float:
    found = [row.metrics[name] for row in table.rows if name in row.metrics]
    return max(
        (abs(value) for cell in found for value in [cell.mean, *(cell.ci95 or ())] if value), default=0.0
    )


def _title(table: results_table.Table) -> str:
    return latex_text.escaped(table.title or "Results")


def _caption(table: results_table.Table, names: Sequence[str], marks: dict[str, str]) -> list[str]:
    listed = ", ".join(latex_text.escaped(name) for name in names)
    parts = [f"{_title(table)}: {listed}.", _sizes(table, names), *_spread(table, names)]
    if marks:
        parts.append("$\\Delta$: row minus the marked row over the seeds that both have, with its interval.")
    if table.claims:
        level, count = f"{100 * table.claims[0].level:.4g}\\,\\%", claim_verdicts.count(table.claims)
        matters = cells.number(table.claims[0].matters)
        parts.append(
            f"Black: {count} claim{'s' * (count != 1)} declared before the run, each with an "
            f"interval at {level}, so that all together err with 5\\,\\%; bold: separable from 0. "
            f"The smallest difference of interest is {matters}."
        )
    grey = any(not line.claimed for panel in forest.panels(table) for line in panel.lines)
    if grey and table.claims:
        parts.append("Grey: exploratory, intervals at 95\\,\\%, not corrected, no verdict.")
    elif grey:
        parts.append("All differences are exploratory: intervals at 95\\,\\%, not corrected, no verdict.")
    parts += [f"{latex_text.escaped(each)}." for each in table.accepted_code]
    return parts


def _sizes(table: results_table.Table, names: Sequence[str]) -> str:
    """Return the numbers of seeds and of test items as a sentence."""
    seeds = sorted({len(row.seeds) for row in table.rows})
    sizes = sorted(
        {size for row in table.rows for name in names if name in row.metrics
         for size in row.metrics[name].sizes if size}
    )  # fmt: skip
    spans = [
        " to ".join(f"{end:,}" for end in dict.fromkeys([each[0], each[-1]]))
        for each in (seeds, sizes)
        if each
    ]
    words = f"{spans[0]} seed{'s' * (seeds != [1])}" if seeds else ""
    return f"{words}, {spans[1]} test clips." if sizes else f"{words}."


def _spread(table: results_table.Table, names: Sequence[str]) -> list[str]:
    """Return what the sign +- stands for, in words; and what intervals speak of."""
    found = [row.metrics[name] for row in table.rows for name in names if name in row.metrics]
    methods = dict.fromkeys(cell.method for cell in found if _half(cell) is not None)
    scope = f"Intervals: {cells.scope(table)}."
    if not methods:
        return [scope]
    listed = latex_text.escaped("; ".join(methods) or "of an unknown method")
    return [rf"$\pm$: half width of the 95\,\% interval of the mean ({listed}).", scope]
