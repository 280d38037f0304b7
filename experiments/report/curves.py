"""Read the curves of an experiment from its event logs, in bounded memory."""

import os
from typing import Any

from prismlab.core import errors
from prismlab.core.events import event_lines
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.report import figures, results_table

MOST_POINTS = 4096  # of a curve; even
_MOST_TERMS = 100


def read_curves(directory: str | os.PathLike, table: results_table.Table) -> list[figures.Curve]:
    """Return the curves of an experiment, losses and monitors, from its event logs.

    Args:
        directory: folder of table.json.
        table: the table. A log shared by several rows is drawn once. Without `logs`, every events.jsonl below
            the folder is read and labelled with its folder.

    Returns:
        A curve for each value of "train" events whose name contains "loss", and for each value of "monitor"
        events; non-finite values are dropped.

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
    shared: dict[tuple[str, str, int], list[str]] = {}
    for log in found:
        labels = shared.setdefault((_normal(base, log.events), log.stage, log.seed), [])
        labels.extend([log.label] if log.label not in labels else [])
    curves = []
    for (path, stage, seed), labels in shared.items():
        label = labels[0] if len(labels) == 1 else f"{labels[0]} (shared by {len(labels)} rows)"
        for name, points in _read(path).items():
            curves.append(figures.Curve(label, stage, seed, name, *points.means()))
    return curves


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


def _read(path: str) -> dict[str, _Points]:
    points: dict[str, _Points] = {}
    for event in event_lines.events(path):
        for name, value in event.items():
            if _is_drawn(event["kind"], name) and _finite(value):
                points.setdefault(name, _Points()).add(event["step"], value)
        if len(points) > _MOST_TERMS:
            raise errors.UserError(
                f"expected at most {_MOST_TERMS} losses in {path}, found more; pass the log of a stage"
            )
    return dict(sorted(points.items(), key=lambda named: "loss" not in named[0]))  # losses first


def _is_drawn(kind: str, name: str) -> bool:
    return (kind == "train" and "loss" in name) or (kind == "monitor" and name not in event_lines.OWN_FIELDS)


def _normal(base: filesystem.Path, name: str) -> str:
    """Return the normalised path of a log."""
    return str(base / name) if filesystem.is_remote(base) else os.path.normpath(base / name)


def _finite(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= checked_json.LARGEST
    )
