"""Progress of long work, reported in sentences to a listener, such as the console of `prismlab eval`."""

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Each = TypeVar("Each")
SECONDS = 10.0  # between two reports of one piece of work

_LISTENER: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar(
    "listener", default=None
)


@contextlib.contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Call a function with every sentence that is reported within the block.

    Args:
        listener: called as listener(text).
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report(text: str) -> None:
    """Report a sentence; without a listener nothing happens."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(text)


def duration(seconds: float) -> str:
    """Return a duration in words: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Counter:
    """Reports how many units of a known number are done and how much time is left, every few seconds.

    Args:
        what: what the units are, such as "kinetics400/val: clips encoded".
        total: their number.
    """

    def __init__(self, what: str, total: int):
        self.what, self.total, self.done = what, total, 0
        self._start = self._reported = time.monotonic()

    def add(self, count: int = 1) -> None:
        """Count units as done."""
        self.done += count
        now = time.monotonic()
        if now - self._reported >= SECONDS and 0 < self.done < self.total:
            self._reported = now
            left = (now - self._start) / self.done * (self.total - self.done)
            report(f"{self.what}: {self.done} of {self.total}, {duration(left)} left")


def counted(things: Iterable[Each], what: str, total: int) -> Iterator[Each]:
    """Yield things, and report how many of them are done and how much time is left.

    Args:
        things: what a loop goes through.
        what: what they are, such as "bridge: training steps".
        total: their number.
    """
    counter = Counter(what, total)
    for thing in things:
        yield thing
        counter.add()
