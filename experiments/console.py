"""Console output of a run: escaped text, tables, a live progress line in a terminal, plain lines elsewhere.

Every text that the commands print passes through `escaped`: labels, file names and messages may come from
strangers.
"""

import io
import math
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Collection, Sequence

import rich.box
import rich.cells
import rich.console
import rich.progress
import rich.table
import rich.text

# Zero-width joiners of emoji and of Persian and Indic words are harmless.
_JOINERS = "\u200c\u200d"


def escaped(text: object, keep: str = "") -> str:
    r"""Return a text in which control and formatting characters are visible escapes such as \x1b or \u202e.

    Args:
        text: any value; converted by str.
        keep: characters to leave as they are, such as "\n".

    Returns:
        A text that can be encoded as UTF-8 and that no terminal reads as a command.
    """
    return "".join(
        sign
        if sign.isprintable() or sign in keep or sign in _JOINERS or unicodedata.category(sign) == "Zs"
        else sign.encode("unicode_escape", "surrogatepass").decode("ascii")
        for sign in str(text)
    )


def make_console() -> rich.console.Console:
    """Return a console on standard output without automatic highlighting.

    If the output is a file or a pipe, the width is 160 characters unless COLUMNS is set.
    """
    console = rich.console.Console(file=sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = 160
    return console


def silent() -> rich.console.Console:
    """Return a console that prints nothing, for processes other than the first."""
    return rich.console.Console(file=io.StringIO(), quiet=True)


def printable(text: str, console: rich.console.Console) -> str:
    """Return a text escaped, on one line, in the console's encoding, with '?' for characters it lacks.

    Args:
        text: any string.
        console: console that will print it.
    """
    one_line, encoding = escaped(text), console.encoding or "ascii"
    try:
        one_line.encode(encoding)
        return one_line
    except UnicodeEncodeError:
        return one_line.replace("–", "-").encode(encoding, errors="replace").decode(encoding)


def say(console: rich.console.Console, message: str, style: str = "") -> None:
    """Print a text line by line, without reading markup.

    Args:
        console: console to print to.
        message: one or more lines.
        style: a rich style such as "bold"; ignored if the output is not a terminal.
    """
    for line in message.split("\n"):
        # Wrapped lines are harder to search in files and pipes.
        plain = not console.is_terminal
        console.print(rich.text.Text(printable(line, console), style=style), soft_wrap=plain)


def write(text: object) -> None:
    """Print lines to standard output for other programs or for copying: escaped, but never wrapped."""
    encoding = sys.stdout.encoding or "ascii"
    print(escaped(text, "\n\t").encode(encoding, errors="replace").decode(encoding))


def tell(message: object) -> None:
    """Print a message to standard error, one line per line of the message, each after the program's name."""
    for line in str(message).split("\n"):
        print(f"prismlab: {escaped(line)}", file=sys.stderr)


def table(
    console: rich.console.Console,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    numbers: Collection[str] = (),
) -> None:
    """Print a table; in a file or a pipe it is as wide as it needs to be.

    Args:
        console: console to print to.
        heads: names of the columns.
        lines: one text per column in each line.
        numbers: names of the columns that are right-aligned, and not wrapped if the table fits.
    """
    shown = [[printable(text, console) for text in line] for line in [heads, *lines]]
    need = sum(max(rich.cells.cell_len(text) for text in column) + 2 for column in zip(*shown))
    grid = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for name, head in zip(heads, shown[0]):
        grid.add_column(
            rich.text.Text(head),
            justify="right" if name in numbers else "left",
            overflow="fold",
            no_wrap=name in numbers and need <= console.width,
        )
    for line in shown[1:]:
        grid.add_row(*map(rich.text.Text, line))
    width = console.width
    if not console.is_terminal:
        console.width = max(need, width)
    console.print(grid)
    console.width = width


def duration(seconds: float) -> str:
    """Format a duration as h:mm:ss, or as m:ss below one hour."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Progress display of one stage (context manager).

    In a UTF-8 terminal: a bar with step, loss, clips per second, the fraction of time spent waiting for
    data, and the time left. Elsewhere: one plain line at the start, about every ten seconds, and at the end.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        *,
        start: int = 0,
        console: rich.console.Console | None = None,
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        first: str = "",
    ):
        """Initialize the display; nothing is printed until the context is entered.

        Args:
            stage: name of the stage.
            total: last step.
            start: step at which the run starts or resumes.
            console: console to print to; standard output by default.
            every: seconds between two plain lines.
            clock: returns the time in seconds; replaced in tests.
            first: what takes the time of the first step, such as "compiling"; shown until its update. The
                time left is estimated from the later ones.
        """
        self._stage, self._start, self._first = stage, start, first
        self._console = make_console() if console is None else console
        self._every, self._clock = every, clock
        self._figures = ""
        unicode = (self._console.encoding or "").startswith("utf")
        # A live line needs cursor movement and non-ASCII characters.
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal and unicode
        self._bar = rich.progress.Progress(
            *self._columns(),
            console=self._console,
            refresh_per_second=4,
            expand=True,
            get_time=clock,
            speed_estimate_period=math.inf,
            disable=not self._live,
        )
        name = printable(stage, self._console)
        self._bar.add_task(name, total=total, completed=start, figures="", left=first)
        (self._task,) = self._bar.tasks
        self._printed = clock()

    def _columns(self) -> list[rich.progress.ProgressColumn]:
        column = rich.progress.TextColumn
        # A narrow terminal shows the step and the numbers without bar and remaining time.
        columns: list[rich.progress.ProgressColumn] = [column("{task.description}", markup=False)]
        if self._console.width >= 90:
            columns.append(rich.progress.BarColumn(bar_width=None))
        columns.append(rich.progress.MofNCompleteColumn())
        columns.append(column("{task.fields[figures]}", markup=False))
        if self._console.width >= 70:
            columns.append(column("{task.fields[left]}", markup=False))
        return columns

    def update(
        self,
        step: int,
        loss: float | None = None,
        clips_per_second: float | None = None,
        data_wait_share: float | None = None,
    ) -> None:
        """Update the display.

        Args:
            step: number of completed steps.
            loss: most recent loss.
            clips_per_second: training throughput of all hosts together.
            data_wait_share: fraction of the time spent waiting for data, in [0, 1].
        """
        parts = []
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if clips_per_second is not None:
            parts.append(f"{clips_per_second:.0f} clips/s")
        if data_wait_share is not None:
            parts.append(f"data wait {100 * data_wait_share:.0f} %")
        self._figures = ", ".join(parts)
        self._bar.update(self._task.id, completed=step, figures=self._figures)
        self._bar.update(self._task.id, left=self._left())
        if not self._live and self._clock() - self._printed >= self._every:
            self._line()

    def status(self, message: str) -> None:
        """Print a line above the bar, or plainly if there is no bar."""
        say(self._console, message)

    def _left(self) -> str:
        # rich measures the speed from the first update on, so without the compilation of the first step.
        seconds = self._task.time_remaining
        return "" if seconds is None else f"{duration(seconds)} left"

    def _line(self, end: str = "") -> None:
        self._printed = self._clock()
        step = f"step {int(self._task.completed)}/{self._task.total}"
        parts = [step, self._figures, end or self._left()]
        say(self._console, f"{self._stage}: " + ", ".join(part for part in parts if part))

    def __enter__(self) -> "Progress":
        self._bar.reset(self._task.id, completed=self._start, figures="", left=self._first)
        self._bar.start()
        if not self._live:
            begin = "starts" if self._start == 0 else "resumes"
            self._line(end=f"{begin}, {self._first}" if self._first else begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if not self._live:
            word = "done" if kind is None else "stopped"
            self._line(end=f"{word} after {duration(self._clock() - (self._task.start_time or 0.0))}")
