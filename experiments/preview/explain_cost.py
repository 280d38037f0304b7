"""What a run will cost: FLOPs, and device-hours at the rate of earlier stages or at the peak of a chip."""

import dataclasses
import os
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments.certificate import certify, statement
from prismlab.experiments.cost import chips, step_flops
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import store

MOST = 200  # certificates that are read
# Fields of a stage that do not change how long a clip takes.
_NO_MATTER = ("name", "steps", "optimizer", "init_from", "teacher")
MEASURED, ALIKE, PEAK = "measured earlier", "measured on other stages", "at the peak of"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one stage or evaluation.

    Args:
        flops: model FLOPs of the steps that are left; None for an evaluation.
        device_hours: time on all its devices; None if nothing is known.
        source: `MEASURED`, `ALIKE`, or `PEAK` with the name of the chip, for a lower bound; "" without time.
    """

    flops: float | None = None
    device_hours: float | None = None
    source: str = ""


@dataclasses.dataclass(frozen=True)
class _Done:
    """A finished stage: what it computed for each clip, and how fast."""

    program: str
    step_flops: float | None
    seconds_per_clip: float
    flops_per_second: float | None


def of_stages(
    planned: Sequence[stages.Planned],
    kept: store.Store,
    count: Callable[[stages.Planned], float] = step_flops.estimated,
) -> dict[str, Cost]:
    """Return address -> cost of stages that are not finished, without touching a device.

    Args:
        planned: the stages.
        kept: the store, whose certificates have the rates of earlier stages.
        count: returns the model FLOPs of a step of a stage.
    """
    done = _finished(kept.home) if planned else []
    flops: dict[str, float] = {each.program: each.step_flops for each in done if each.step_flops}
    found = {}
    for each in planned:
        program = _program(each)
        at = checkpoint.newest(kept.stage_folder(each.address, each.folder) / "checkpoints") or 0
        steps = max(0, each.stage.steps - at)
        if program not in flops and steps:
            flops[program] = count(each)
        found[each.address] = _cost(each, steps, program, flops.get(program, 0.0), done)
    return found


def of_evaluations(judged: Sequence[stages.Evaluation], kept: store.Store) -> dict[str, Cost]:
    """Return address -> cost of evaluations, from earlier ones of the same task.

    Args:
        judged: the evaluations that run.
        kept: the store.
    """
    if not judged:
        return {}
    seconds: dict[str, list[float]] = {}
    for path in _newest(kept.home / "scores", certify.SUFFIX):
        try:
            read = statement.read(path)
        except errors.UserError:
            continue
        seconds.setdefault(_task(read.inputs), []).append(read.cost.device_seconds)
    known = {each.address: seconds.get(_task(each.inputs)) for each in judged}
    return {
        address: Cost(None, statistics.median(found) / 3600, MEASURED) if found else Cost()
        for address, found in known.items()
    }


def _cost(planned: stages.Planned, steps: int, program: str, flops: float, done: Sequence[_Done]) -> Cost:
    clips = steps * planned.stage.batch_size
    alike = [each.seconds_per_clip for each in done if each.program == program]
    if alike:
        return Cost(flops * steps, clips * statistics.median(alike) / 3600, MEASURED)
    rates = [each.flops_per_second for each in done if each.flops_per_second]
    if rates:
        return Cost(flops * steps, flops * steps / statistics.median(rates) / 3600, ALIKE)
    chip = chips.CHIPS["cpu" if os.environ.get("JAX_PLATFORMS", "").startswith("cpu") else "h100"]
    return Cost(flops * steps, flops * steps / chip.bfloat16 / 3600, f"{PEAK} {chip.name}")


def _finished(home: filesystem.Path) -> list[_Done]:
    found = []
    for folder in _newest(home / "stages", ""):
        try:
            read = statement.read(folder)
        except errors.UserError:  # none, or of another version
            continue
        seconds = read.cost.device_seconds - read.cost.failed_device_seconds
        if read.kind == "stage" and seconds > 0 and read.cost.clips > 0:
            rate = None if read.cost.flops is None else read.cost.flops / seconds
            program = describe.address(_without(read.inputs))
            found.append(_Done(program, read.cost.step_flops, seconds / read.cost.clips, rate))
    return found


def _newest(folder: filesystem.Path, ending: str) -> list[filesystem.Path]:
    try:
        found = [path for path in folder.iterdir() if path.name.endswith(ending)]
    except FileNotFoundError:
        return []
    return sorted(found, key=_written, reverse=True)[:MOST]


def _written(path: filesystem.Path) -> float:
    """Return when a local file was written; the objects of a bucket are read in any order."""
    return path.stat().st_mtime if isinstance(path, pathlib.Path) else 0.0


def _program(planned: stages.Planned) -> str:
    return describe.address(_without(planned.inputs))


def _without(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in inputs["configuration"].items() if name not in _NO_MATTER}


def _task(inputs: Mapping[str, Any]) -> str:
    return describe.address(inputs.get("configuration"))
