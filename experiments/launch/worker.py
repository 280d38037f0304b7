"""A worker: claims a unit that is ready, does it, and goes on until nothing is left to do.

A worker may be several processes (the hosts of a slice): process 0 claims, and all train.
"""

import functools
import pathlib
import time
from typing import Any

import jax
import rich.console

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train import loop
from prismlab.experiments import console
from prismlab.experiments.launch import units
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.run import engine, leases, work_directory

POLL = 5.0  # seconds between two looks at what others have finished


def check_directory(workdir: filesystem.Place, root: recipe.Ablation) -> None:
    """Refuse a work directory that was not made ready for this ablation.

    Raises:
        UserError: it holds no configuration, or another one.
    """
    if not (workdir / "config.json").is_file():
        raise errors.UserError(
            f"{workdir} is not ready; first: prismlab ablate FILE.gin --workdir {workdir} --launcher ..."
        )
    lines = describe.difference(work_directory.read_json(workdir / "config.json"), describe.describe(root))
    if lines:
        raise errors.UserError(f"{workdir} holds another configuration: " + "; ".join(lines[:5]))


class Desk:
    """What process 0 of a worker does for all its processes: it finds a unit, claims it and gives it back.

    Args:
        workdir: the shared work directory.
        root: the ablation.
        beat, stale: see `leases.claim`.
    """

    def __init__(self, workdir: filesystem.Place, root: recipe.Ablation, beat: float, stale: float):
        self.workdir, self.beat, self.stale = workdir, beat, stale
        self.units = {unit.name: unit for unit in units.units(root)}
        self.tasks = {label: dict(each.tasks) for label, each in root.experiments().items()}
        self._held: leases.Claim | None = None

    def _is_done(self, unit: units.Unit) -> bool:
        return units.is_done(unit, self.workdir, self.tasks.get(unit.row, {}))

    def take(self) -> dict[str, Any]:
        """Claim a unit that is ready.

        Returns:
            {"unit": name}; {} if all that is ready is in others' hands; {"failed": {unit: why}} at the end.
        """
        failed = leases.failures(self.workdir)
        left = [unit for unit in self.units.values() if not self._is_done(unit)]
        undone = {unit.name for unit in left}
        blocked = _blocked(left, failed)
        left = [unit for unit in left if unit.name not in blocked]
        if not left:
            return {"failed": failed}
        for unit in left:
            if undone & set(unit.needs):
                continue
            self._held = leases.claim(self.workdir, unit.name, beat=self.beat, stale=self.stale)
            if self._held is not None and self._is_done(unit):  # finished between our look and our claim
                self.give_back()
            elif self._held is not None:
                return {"unit": unit.name}
        return {}

    def give_back(self, why: str = "") -> None:
        """Release the unit, and note why it cannot be done if it cannot."""
        if self._held is not None:
            if why:
                leases.fail(self.workdir, self._held.unit, why)
            self._held.release()
            self._held = None


def work(
    workdir: filesystem.Place,
    cache: pathlib.Path,
    root: recipe.Ablation,
    out: rich.console.Console,
    *,
    beat: float = leases.BEAT,
    stale: float = leases.STALE,
    poll: float = POLL,
) -> dict[str, str]:
    """Do units until all are done, failed, or wait for failed ones; every process of the worker comes here.

    Args:
        workdir: the shared work directory.
        cache: directory shared by runs.
        root: the ablation.
        out: where progress is shown.
        beat, stale: see `leases.claim`.
        poll: seconds between two looks at what others have finished.

    Returns:
        unit -> why it could not be done.

    Raises:
        loop.Interrupted: a signal came; what was trained so far is on disk.
        filesystem.Unreachable: the bucket is away.
        loop.Lost: another process of this worker is gone.
        UserError: in a worker of several processes, why a unit cannot be done: perhaps only this one knows,
            and the others wait for it in a step. It is noted; started again, the worker leaves that unit out.
    """
    check_directory(workdir, root)
    runner = engine.Engine(workdir, cache, out)
    desk = Desk(workdir, root, beat, stale)
    while True:
        told = distributed.decide(desk.take)
        if "failed" in told:
            return told["failed"]
        if "unit" not in told:
            time.sleep(poll)
            continue
        unit, why = desk.units[told["unit"]], ""
        console.say(out, unit.told)
        try:
            if unit.row:
                # As in `engine.Engine.run`: process 0 evaluates, on its first device.
                distributed.decide(functools.partial(runner.score, unit.planned, desk.tasks[unit.row]))
            else:
                runner.train(unit.planned)
        except filesystem.Unreachable:
            raise  # no fault of the unit: this worker, started again, or another may do it
        except (errors.UserError, loop.Diverged) as error:
            why = str(error)
            if jax.process_count() > 1 and isinstance(error, errors.UserError):
                leases.fail(workdir, unit.name, why)
                raise
            console.say(out, f"{unit.told}: {why}")
        finally:
            desk.give_back(why)


def _blocked(left: list[units.Unit], failed: dict[str, str]) -> set[str]:
    """Return failed units and all that wait for them."""
    found = set(failed)
    while True:
        more = {unit.name for unit in left if unit.name not in found and found & set(unit.needs)}
        if not more:
            return found
        found |= more
