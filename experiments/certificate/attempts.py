"""Attempts at a stage: every process that trained it, also if it failed or was killed, with its time.

`attempts.json` is written when an attempt begins and when it ends. One that was killed cannot write its end:
the next one ends it at the time of the last line of the event log.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence

import jax

from prismlab.core import errors
from prismlab.core.events import event_lines
from prismlab.core.io import checked_json, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train.loops import loop
from prismlab.experiments.certificate import contents, statement

FILE = "attempts.json"
RUNNING = "running"
_OUTCOMES = (
    (loop.Interrupted, "interrupted"),
    (KeyboardInterrupt, "interrupted"),
    (loop.Diverged, "diverged"),
)


@dataclasses.dataclass(frozen=True)
class _File:
    attempts: tuple[contents.Attempt, ...]


def read(folder: filesystem.Path) -> tuple[contents.Attempt, ...]:
    """Return the attempts at a stage, oldest first; a missing or damaged file has none."""
    try:
        found: _File = checked_json.read(_File, folder / FILE)
    except errors.UserError:
        return ()
    return found.attempts


class Timed:
    """Measures one evaluation, on one device."""

    def __init__(self) -> None:
        self._began, self._ticks = time.time(), time.monotonic()

    def attempt(self) -> contents.Attempt:
        """Return what was measured since the start."""
        return contents.Attempt(0, 0, time.monotonic() - self._ticks, 1, "done", self._began)


@contextlib.contextmanager
def attempt(
    folder: filesystem.Path, at: int, steps: int, clock: Callable[[], float] = time.time, rows: int = 1
) -> Iterator[None]:
    """Record an attempt at a stage, around its training.

    Enter before the event log is opened, which drops the lines after `at`.

    Args:
        folder: the stage's folder; only process 0 writes to it.
        at: steps done before.
        steps: steps of the stage, done if nothing is raised.
        clock: seconds since 1970.
        rows: stages that train together in this time, each of which gets an equal share of it.
    """
    if not distributed.is_main():
        yield
        return
    before = [_ended(each, folder) if each.outcome == RUNNING else each for each in read(folder)]
    began, ticks = clock(), time.monotonic()

    def note(outcome: str, end: int) -> None:
        now = contents.Attempt(at, end, (time.monotonic() - ticks) / rows, jax.device_count(), outcome, began)
        _write(folder, [*before, now])

    note(RUNNING, at)
    try:
        yield
    except BaseException as error:
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        with contextlib.suppress(errors.UserError):  # the first error is the one to report
            note(outcome, _last(folder)[0] or at)
        raise
    note("done", steps)


def _write(folder: filesystem.Path, attempts: Sequence[contents.Attempt]) -> None:
    kept = [dataclasses.asdict(each) for each in attempts[-statement.MOST_ATTEMPTS :]]
    filesystem.write_atomic(folder / FILE, (json.dumps({"attempts": kept}, indent=1) + "\n").encode())


def _ended(each: contents.Attempt, folder: filesystem.Path) -> contents.Attempt:
    step, seen = _last(folder)
    end = max(each.start, step or 0)
    return dataclasses.replace(each, outcome="killed", end=end, seconds=max(0.0, (seen or 0.0) - each.began))


def _last(folder: filesystem.Path) -> tuple[int | None, float | None]:
    """Return the last logged step, and the time of the last line of the event log."""
    step, when = None, None
    with contextlib.suppress(errors.UserError):
        for event in event_lines.events(folder / "events.jsonl"):
            step = event["step"] if event["kind"] == "train" else step  # a batch is logged before its step
            when = float(event["time"]) if isinstance(event["time"], int | float) else when
    return step, when
