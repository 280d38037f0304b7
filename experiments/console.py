"""Console output of a run: a live progress line in a terminal, a few plain lines elsewhere."""

import io
import os
import sys
import time
from collections.abc import Callable

import rich.console
import rich.progress
import rich.text


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
    """Return a text in the console's encoding, on one line, with '?' for characters it lacks.

    Args:
        text: any string.
        console: console that will print it.
    """
    one_line = "".join(sign if sign.isprintable() else " " for sign in text)
    encoding = console.encoding or "ascii"
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
    for line in message.splitlines() or [""]:
        # Wrapped lines are harder to search in files and pipes.
        plain = not console.is_terminal
        console.print(rich.text.Text(printable(line, console), style=style), soft_wrap=plain)


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
    ):
        """Initialize the display; nothing is printed until the context is entered.

        Args:
            stage: name of the stage.
            total: last step.
            start: step at which the run starts or resumes.
            console: console to print to; standard output by default.
            every: seconds between two plain lines.
            clock: returns the time in seconds; replaced in tests.
        """
        self._stage, self._total, self._start = stage, total, start
        self._console = make_console() if console is None else console
        self._every, self._clock = every, clock
        self._step, self._figures = start, ""
        self._begun = self._printed = clock()
        self._live: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

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
        self._step = step
        parts = []
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if clips_per_second is not None:
            parts.append(f"{clips_per_second:.0f} clips/s")
        if data_wait_share is not None:
            parts.append(f"data wait {100 * data_wait_share:.0f} %")
        self._figures = ", ".join(parts)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=step, figures=self._figures, left=self._left())
        elif self._clock() - self._printed >= self._every:
            self._line()

    def status(self, message: str) -> None:
        """Print a line above the bar, or plainly if there is no bar."""
        say(self._console, message)

    def _left(self) -> str:
        done = self._step - self._start
        if done <= 0:
            return ""
        seconds = (self._clock() - self._begun) / done * (self._total - self._step)
        return f"{duration(seconds)} left"

    def _line(self, end: str = "") -> None:
        self._printed = self._clock()
        ending = end or self._left()
        parts = [f"step {self._step}/{self._total}", self._figures, ending]
        say(self._console, f"{self._stage}: " + ", ".join(part for part in parts if part))

    def __enter__(self) -> "Progress":
        self._begun = self._clock()
        # A live line needs cursor movement and non-ASCII characters.
        unicode = (self._console.encoding or "").startswith("utf")
        if not self._console.is_terminal or self._console.is_dumb_terminal or not unicode:
            self._line(end="starts" if self._start == 0 else "resumes")
            return self
        column = rich.progress.TextColumn
        # A narrow terminal shows the step and the numbers without bar and remaining time.
        columns: list[rich.progress.ProgressColumn] = [column("{task.description}", markup=False)]
        if self._console.width >= 90:
            columns.append(rich.progress.BarColumn(bar_width=None))
        columns.append(rich.progress.MofNCompleteColumn())
        columns.append(column("{task.fields[figures]}", markup=False))
        if self._console.width >= 70:
            columns.append(column("{task.fields[left]}", markup=False))
        self._live = rich.progress.Progress(
            *columns, console=self._console, refresh_per_second=4, expand=True
        )
        self._task = self._live.add_task(
            printable(self._stage, self._console),
            total=self._total,
            completed=self._start,
            figures="",
            left="",
        )
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            return
        word = "done" if kind is None else "stopped"
        self._line(end=f"{word} after {duration(self._clock() - self._begun)}")
