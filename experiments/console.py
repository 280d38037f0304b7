"""What a person sees while a run goes on: a live line in a terminal, a few plain lines elsewhere."""

import io
import os
import sys
import time
from collections.abc import Callable

import rich.console
import rich.progress
import rich.text


def make_console() -> rich.console.Console:
    """Return a console on standard output that colours no words of its own accord.

    A file or a pipe has no width: lines there may be 160 signs long, unless COLUMNS says otherwise.
    """
    console = rich.console.Console(file=sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = 160
    return console


def silent() -> rich.console.Console:
    """Return a console that shows nothing, for processes beside the first."""
    return rich.console.Console(file=io.StringIO(), quiet=True)


def printable(text: str, console: rich.console.Console) -> str:
    """Return a text that the console's encoding can show: one line, '?' for what it cannot.

    Args:
        text: any string.
        console: where it shall be shown.
    """
    one_line = "".join(sign if sign.isprintable() else " " for sign in text)
    encoding = console.encoding or "ascii"
    try:
        one_line.encode(encoding)
        return one_line
    except UnicodeEncodeError:
        return one_line.replace("–", "-").encode(encoding, errors="replace").decode(encoding)


def say(console: rich.console.Console, message: str, style: str = "") -> None:
    """Print a text as it is, line by line: no markup is read from it.

    Args:
        console: where to print.
        message: one or more lines.
        style: a rich style such as "bold"; unused where the output is no terminal.
    """
    for line in message.splitlines() or [""]:
        # Plain output goes to files and pipes, where a wrapped line would be harder to search.
        plain = not console.is_terminal
        console.print(rich.text.Text(printable(line, console), style=style), soft_wrap=plain)


def duration(seconds: float) -> str:
    """Return a time span as h:mm:ss, or m:ss below one hour."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Progress of one stage; a context manager.

    In a UTF-8 terminal: a bar with step, loss, clips per second, the share of time spent waiting for data,
    and the time left. Elsewhere: one plain line at the start, about every ten seconds, and at the end.
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
        """Prepare the display; nothing is printed before it is entered.

        Args:
            stage: name of the stage.
            total: last step.
            start: step that the run begins or resumes at.
            console: where to print; standard output by default.
            every: seconds between two plain lines.
            clock: gives the time in seconds; tests replace it.
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
        """Show where the stage stands.

        Args:
            step: steps done so far.
            loss: newest known loss.
            clips_per_second: clips of all hosts trained in one second.
            data_wait_share: share of the time spent waiting for data, in [0, 1].
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
        """Print a line above the bar, or as it is where there is no bar."""
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
        # A live line needs cursor movements, and signs that an ASCII terminal does not have.
        unicode = (self._console.encoding or "").startswith("utf")
        if not self._console.is_terminal or self._console.is_dumb_terminal or not unicode:
            self._line(end="starts" if self._start == 0 else "resumes")
            return self
        column = rich.progress.TextColumn
        # A narrow terminal keeps the step and the figures; the bar and the time left need room.
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
