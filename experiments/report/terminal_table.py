"""Print a results table in a terminal."""

import rich.cells
import rich.console

from prismlab.experiments import console as terminal
from prismlab.experiments.statistics import cells, claim_verdicts, results_table

MOST_LINES = 40  # of one part of the output; the report files hold all


def print_table(table: results_table.Table, console: rich.console.Console) -> None:
    """Print the table, its protocols and its paired comparisons; a wide table is printed in parts.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`.
        console: console to print to. Tables and notes are cut after `MOST_LINES` lines.
    """
    for line in claim_verdicts.sentences(table)[:MOST_LINES]:
        terminal.say(console, line)
    if table.claims:
        terminal.say(console, "")
    _in_parts(console, *cells.grid(table))
    notes = cells.footnotes(table)[1]
    for mark, text in notes[:MOST_LINES]:
        terminal.say(console, f"({mark}) {text}")
    _say_what_is_cut(console, len(notes), "protocols")
    terminal.say(console, f"Intervals: {cells.scope(table)}.")
    terminal.say(console, "")
    for reference in table.reference:
        compared = [entry for entry in table.paired if entry.reference == reference]
        if compared:
            terminal.say(console, f"Exploratory differences to {reference}, same seeds, 95 % intervals:")
            claims = [entry for entry in table.claims if entry.reference == reference]
            _in_parts(console, *cells.comparison_grid(compared, claims))


def _say_what_is_cut(console: rich.console.Console, count: int, what: str) -> None:
    if count > MOST_LINES:
        terminal.say(console, f"and {count - MOST_LINES} further {what}: see report.md or report.html")


def _in_parts(console: rich.console.Console, heads: list[str], body: list[list[str]]) -> None:
    """Print as many columns side by side as fit, then the remaining ones below."""
    lines = body[:MOST_LINES]
    shown = [[terminal.printable(text, console) for text in line] for line in [heads, *lines]]
    widths = [max(map(rich.cells.cell_len, column)) + 2 for column in zip(*shown)]
    first = 1
    while first < len(heads):
        last, used = first + 1, widths[0] + widths[first]
        while last < len(heads) and used + widths[last] <= console.width:
            used += widths[last]
            last += 1
        part = [heads[0], *heads[first:last]]
        terminal.table(console, part, [[line[0], *line[first:last]] for line in lines], numbers=part[1:])
        terminal.say(console, "")
        first = last
    _say_what_is_cut(console, len(body), "rows")
