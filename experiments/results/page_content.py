"""Collect what a page says beside the table from the files of a work directory, which may be a stranger's."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.report import disagreement, page_facts, stage_logs
from prismlab.experiments.results import page_pictures, row_changes, stage_certificates
from prismlab.experiments.statistics import item_scores, results_table

_SAW = "Clips of the first step; below each, what the masks left visible to the student."
_ROWS = "recipe.Ablation.rows"
_MOST_BYTES = 2**24  # of a list of bad clips or a stage.json


@dataclasses.dataclass(frozen=True)
class _Stage:
    """What a page needs of stage.json."""

    mesh: Mapping[str, int] = dataclasses.field(default_factory=dict)


def collect(
    workdir: filesystem.Path,
    home: filesystem.Path,
    table: results_table.Table,
    results: Sequence[results_table.Result],
    items: item_scores.Found,
    logs: Sequence[stage_logs.StageLog],
) -> page_facts.Facts:
    """Return the facts of a page.

    Args:
        workdir: the work directory, with config.json.
        home: its store.
        table: its table.
        results: from its results.json.
        items: outcomes of single items.
        logs: its event logs, from `stage_logs.read`.

    Raises:
        UserError: config.json is missing or damaged.
    """
    by_folder = {log.events.split("/")[1]: log for log in logs if log.events.count("/") == 2}
    folders = tuple(dict.fromkeys(name for entry in results for name in entry.stages))
    found = stage_certificates.read(home, folders)
    hours, flops = dict(found.hours), dict(found.flops)
    for folder, log in by_folder.items():
        if folder not in hours:  # of a version without certificates
            hours[folder] = _device_hours(home, folder, log)
    order = tuple(row.label for row in table.rows)
    return page_facts.Facts(
        changes=row_changes.read(workdir / "config.json", order, found.origin(_ROWS)),
        costs=costs(results, hours, flops),
        health=tuple(_health(home, folder, log, found.restarts(folder)) for folder, log in by_folder.items()),
        certificates=found.told(table),
        disagreements=disagreement.of(
            table, items, lambda key: page_pictures.read(page_pictures.of_clip(workdir, key))
        ),
        seen=_seen(home, results),
    )


def costs(
    results: Sequence[results_table.Result], hours: Mapping[str, float], flops: Mapping[str, float]
) -> tuple[page_facts.Cost, ...]:
    """Return what each row and seed cost.

    Args:
        results: content of results.json.
        hours, flops: folder of a stage -> device-hours and model FLOPs; those that are not known are missing.
    """
    return tuple(
        page_facts.Cost(entry.label, entry.seed, _sum(hours, entry.stages), _sum(flops, entry.stages))
        for entry in results
    )


def _seen(home: filesystem.Path, results: Sequence[results_table.Result]) -> tuple[page_facts.Seen, ...]:
    """Return what the stages of the first seed saw; stages that saw the same share a picture."""
    rows: dict[tuple[str, bytes], list[str]] = {}
    for entry in results:
        for folder in entry.stages:
            picture = page_pictures.read(home / "stages" / folder / page_pictures.SEEN)
            if picture is not None:
                labels = rows.setdefault((folder.rpartition("-s")[0], picture), [])
                labels.extend([entry.label] if entry.label not in labels else [])
    return tuple(
        page_facts.Seen(stage, tuple(labels), _SAW, picture) for (stage, picture), labels in rows.items()
    )


def _sum(known: Mapping[str, float], names: Sequence[str]) -> float | None:
    return sum(known[name] for name in names) if names and all(name in known for name in names) else None


def _device_hours(home: filesystem.Path, folder: str, log: stage_logs.StageLog) -> float:
    """Return devices times the hours between the first and the last line of the log."""
    devices = 1
    try:
        stage = checked_json.read(_Stage, home / "stages" / folder / "stage.json", limit=_MOST_BYTES)
        devices = max(1, math.prod(stage.mesh.values()))
    except errors.UserError:  # of an earlier version, or damaged: one device at least
        pass
    return devices * log.seconds / 3600


def _health(home: filesystem.Path, folder: str, log: stage_logs.StageLog, restarts: str) -> page_facts.Health:
    trouble = [f"collapsed: {reason}" for reason in log.collapsed] + [restarts] * bool(restarts)
    bad = _bad_clips(home / "stages" / folder / "bad_clips.jsonl")
    trouble += [f"{bad} bad clip{'s' * (bad != 1)}"] * (bad > 0)
    trouble += [f"{log.recompiled} recompilation{'s' * (log.recompiled != 1)}"] * (log.recompiled > 0)
    return page_facts.Health(
        f"{log.stage} (seed {log.seed})",
        log.rows,
        log.steps,
        tuple(trouble),
        log.largest_gradient,
        log.last_loss,
    )


def _bad_clips(path: filesystem.Path) -> int:
    """Return the number of lines of a list of bad clips; 0 if there is none."""
    if not path.is_file():
        return 0
    count = 0
    with filesystem.open_binary(path) as file:
        for part in iter(functools.partial(file.read, 2**20), b""):
            count += part.count(b"\n")
    return count
