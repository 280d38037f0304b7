"""Read the event logs of an experiment once, in bounded memory: curves, and what happened to each stage."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.events import event_lines
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.report import figures
from prismlab.experiments.statistics import results_table

MOST_POINTS = 4096  # of a curve; even
_MOST_TERMS = 100
_MOST_REASONS = 20  # characters are bounded by the longest line of a log
GRADIENT = "gradient_norm"
OBJECTIVE_NORM, OBJECTIVE_COSINE = "objective_gradient_norm/", "objective_gradient_cosine/"
COLLAPSE, RECOMPILE = "collapse", "recompile"


@dataclasses.dataclass(frozen=True)
class StageLog:
    """What the event log of one stage says.

    Args:
        rows: labels of the rows that share it.
        stage: name of the stage.
        seed: the seed of the run.
        events: path of the log relative to the folder of table.json.
        steps: last step in the log.
        seconds: time between the first and the last line; of all parts of a resumed run, pauses included.
        collapsed: what the alarms of the monitors said.
        recompiled: number of recompilations.
        largest_gradient: largest logged norm of the gradient, or None.
        last_loss: loss of the last "train" line, or None.
        curves: name -> (steps, values), of what is drawn.
    """

    rows: tuple[str, ...]
    stage: str
    seed: int
    events: str
    steps: int
    seconds: float
    collapsed: tuple[str, ...]
    recompiled: int
    largest_gradient: float | None
    last_loss: float | None
    curves: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]


def read(directory: str | os.PathLike, table: results_table.Table) -> list[StageLog]:
    """Return the logs of an experiment.

    Args:
        directory: folder of table.json.
        table: the table. A log shared by several rows is read once. Without `logs`, every events.jsonl below
            the folder is read and labelled with its folder.

    Raises:
        UserError: a listed log is missing or damaged.
    """
    base = filesystem.as_path(directory)
    found = table.logs
    if found is None:
        # epath cannot search a bucket recursively; use the paths that the engine writes to.
        below = (
            base.glob("stages/*/events.jsonl") if filesystem.is_remote(base) else base.rglob("events.jsonl")
        )
        names = sorted(path.relative_to(base).as_posix() for path in below)
        found = tuple(results_table.Log(name.rpartition("/")[0], 0, "all", name) for name in names)
    shared: dict[tuple[str, str, int], tuple[str, list[str]]] = {}
    for log in found:
        _, labels = shared.setdefault((_normal(base, log.events), log.stage, log.seed), (log.events, []))
        labels.extend([log.label] if log.label not in labels else [])
    return [
        _read(path, tuple(labels), stage, seed, name)
        for (path, stage, seed), (name, labels) in shared.items()
    ]


def curves(logs: Sequence[StageLog]) -> list[figures.Curve]:
    """Return a curve for each loss, gradient and monitored value, in this order.

    Values that are not finite are dropped.
    """
    found = [
        figures.Curve(shared_label(log), log.stage, log.seed, name, *points)
        for log in logs
        for name, points in log.curves.items()
    ]
    # Rows of a stage may have other losses: those of a later row come before the monitors of the first.
    return sorted(found, key=lambda curve: _place(curve.term))


def shared_label(log: StageLog) -> str:
    """Return the rows of a log as one label."""
    first, count = log.rows[0], len(log.rows)
    return first if count == 1 else f"{first} (shared by {count} rows)"


class _Points:
    """Points of a curve: all of a short one, means of ever more neighbours of a long one."""

    def __init__(self) -> None:
        self._width = 1
        self._steps: list[float] = []
        self._values: list[float] = []
        self._sum, self._open = (0.0, 0.0), 0

    def add(self, step: int, value: float) -> None:
        """Add the next point."""
        self._sum, self._open = (self._sum[0] + step, self._sum[1] + value), self._open + 1
        if self._open == self._width:
            self._close()
        if len(self._steps) == MOST_POINTS:
            self._width *= 2
            for kept in (self._steps, self._values):
                kept[:] = [(one + other) / 2 for one, other in zip(kept[::2], kept[1::2])]

    def _close(self) -> None:
        self._steps.append(self._sum[0] / self._open)
        self._values.append(self._sum[1] / self._open)
        self._sum, self._open = (0.0, 0.0), 0

    def means(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return steps and values; call once, after the last point."""
        if self._open:
            self._close()
        return tuple(self._steps), tuple(self._values)


def _read(path: str, rows: tuple[str, ...], stage: str, seed: int, name: str) -> StageLog:
    points: dict[str, _Points] = {}
    times: list[float] = []
    steps = recompiled = 0
    collapsed: list[str] = []
    largest = last = None
    for event in event_lines.events(path):
        kind, steps = event["kind"], max(steps, event["step"])
        if _finite(event["time"]):
            times = [*times[:1], float(event["time"])]
        recompiled += kind == RECOMPILE
        if kind == COLLAPSE and len(collapsed) < _MOST_REASONS:
            collapsed.append(str(event.get("reason", "")))
        if kind == "train":
            last = float(event["loss"]) if _finite(event.get("loss")) else last
            if _finite(event.get(GRADIENT)):
                largest = max(float(event[GRADIENT]), largest or 0.0)
        for term, value in event.items():
            if _is_drawn(kind, term) and _finite(value):
                points.setdefault(term, _Points()).add(event["step"], value)
        if len(points) > _MOST_TERMS:
            raise errors.UserError(
                f"expected at most {_MOST_TERMS} losses in {path}, found more; pass the log of a stage"
            )
    ordered = dict(sorted(points.items(), key=lambda named: _place(named[0])))
    seconds = max(0.0, times[-1] - times[0]) if times else 0.0
    drawn = {term: each.means() for term, each in ordered.items()}
    return StageLog(
        rows, stage, seed, name, steps, seconds, tuple(collapsed), recompiled, largest, last, drawn
    )


def _is_drawn(kind: str, name: str) -> bool:
    if kind == "train":
        return "loss" in name or name.startswith((GRADIENT, OBJECTIVE_NORM, OBJECTIVE_COSINE))
    return kind == "monitor" and name not in event_lines.OWN_FIELDS


def _place(name: str) -> int:
    """Return the order of a curve: losses, gradients, cosines, monitors."""
    if name.startswith(OBJECTIVE_COSINE):
        return 2
    if name.startswith((GRADIENT, OBJECTIVE_NORM)):
        return 1
    return 0 if "loss" in name else 3


def _normal(base: filesystem.Path, name: str) -> str:
    """Return the normalised path of a log."""
    return str(base / name) if filesystem.is_remote(base) else os.path.normpath(base / name)


def _finite(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= checked_json.LARGEST
    )
