"""Print a results table in a terminal."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table
import rich.text

from prismlab.experiments import console as terminal
from prismlab.experiments.report import cells, results_table


def print_table(table: results_table.Table, console: rich.console.Console) -> None:
    """Print the table, its protocols and its paired comparisons; a wide table is printed in parts.

    Args:
        table: the result of `table_builder.build_table` or `results_table.read_table`.
        console: console to print to.
    """
    _in_parts(console, *cells.grid(table))
    for mark, text in cells.footnotes(table)[1]:
        terminal.say(console, f"({mark}) {text}")
    terminal.say(console, "")
    for reference in table.reference:
        compared = [entry for entry in table.paired if entry.reference == reference]
        if compared:
            terminal.say(console, f"Paired differences to {reference}, same seeds (p by Holm's rule):")
            _in_parts(console, *cells.comparison_grid(compared))


def _grid(
    console: rich.console.Console, columns: Sequence[str], lines: Sequence[Sequence[str]], words: int
) -> None:
    """Print a table; the first `words` columns are left-aligned text, the others right-aligned numbers."""
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    fits = sum(max(len(line[index]) for line in [columns, *lines]) + 2 for index in range(len(columns)))
    for index, name in enumerate(columns):
        head = rich.text.Text(terminal.printable(name, console))
        grid.add_column(
            head,
            justify="left" if index < words else "right",
            overflow="fold",
            no_wrap=index >= words and fits <= console.width,
        )
    for line in lines:
        grid.add_row(*(rich.text.Text(terminal.printable(text, console)) for text in line))
    console.print(grid)


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
