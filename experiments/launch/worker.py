"""Worker: leases and runs units until none is pending.

A worker may have several processes (the hosts of a slice): process 0 holds the lease, and all train.
"""

import functools
import pathlib
import time
from typing import Any

import jax
import rich.console

from prismlab.core import errors
from prismlab.core.io import buckets, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train import loop, stage_folder
from prismlab.experiments import console
from prismlab.experiments.launch import units
from prismlab.experiments.recipe import describe, fingerprints, recipe
from prismlab.experiments.run import engine, leases, store, work_directory

PREPARED = "prepared.json"  # `facts` of the command that prepared the work directory
POLL = 5.0  # seconds between two polls of the work directory


def check_directory(workdir: filesystem.Path, root: recipe.Ablation, known: list[units.Unit]) -> None:
    """Check that a work directory was prepared for this ablation, with the same code and data.

    Args:
        workdir: the shared work directory.
        root: the ablation.
        known: its units, as this worker sees them.

    Raises:
        UserError: it contains no configuration, another one, or units of other code or data.
    """
    if not (workdir / "config.json").is_file():
        raise errors.UserError(
            f"{workdir} is not prepared; first: prismlab ablate FILE.gin --workdir {workdir} --launcher ..."
        )
    config = describe.addressed(work_directory.read_json(workdir / "config.json"))
    lines = describe.difference(config, describe.addressed(describe.describe(root)))
    if lines:
        raise errors.UserError(f"{workdir} contains another configuration: " + "; ".join(lines[:5]))
    prepared, own = stage_folder.json_if_sound(workdir / PREPARED), facts(known)
    if prepared is not None and prepared.get("units") != own["units"]:
        lines = describe.difference(prepared, {**own, "units": prepared.get("units")})
        raise errors.UserError(
            f"this worker has other code or data than the command that prepared {workdir}: "
            + "; ".join(lines[:5])
            + "; give both the same, or prepare it again"
        )


def facts(known: list[units.Unit]) -> dict[str, Any]:
    """Return what workers must agree on besides the configuration: code, data and settings of all units."""
    found: dict[str, Any] = {"units": sorted(unit.name for unit in known)}
    found |= {"code": {}, "data": {}, "settings": {}}
    for unit in known:
        parts = [(unit.planned.stage.name, unit.planned.inputs)]
        for name, inputs in [*parts, *((each.name, each.inputs) for each in unit.evaluations)]:
            found["code"] |= inputs["code"]
            found["settings"] |= inputs["settings"]
            found["data"] |= {f"{name}: {path}": each for path, each in inputs["data"].items()}
    return found


class Desk:
    """Leases units for a worker; used by process 0 on behalf of all processes of the worker.

    Args:
        workdir: the shared work directory.
        known: all units of the ablation.
        beat, stale: see `leases.claim`.
    """

    def __init__(self, workdir: filesystem.Path, known: list[units.Unit], beat: float, stale: float):
        self.workdir, self.beat, self.stale = workdir, beat, stale
        self.kept = store.of(workdir)
        self.units = {unit.name: unit for unit in known}
        self._held: leases.Claim | None = None
        self._taken = ""
        self._watch = leases.Watch()

    def _is_done(self, unit: units.Unit) -> bool:
        return units.is_done(unit, self.kept)

    def take(self) -> dict[str, Any]:
        """Acquire the lease on a unit whose dependencies are done.

        Returns:
            {"unit": name}; {} if other workers hold all ready units; {"failed": {unit: why}} if none is left.
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
            self._taken, home = unit.name, self.kept.home
            self._held = leases.claim(home, unit.lease, self._watch, beat=self.beat, stale=self.stale)
            if self._held is not None and self._is_done(unit):  # another worker finished it in the meantime
                self.give_back()
            elif self._held is not None:
                return {"unit": unit.name}
        return {}

    def give_back(self, why: str = "") -> None:
        """Release the lease; if the unit failed, record why."""
        if self._held is not None:
            if why:
                leases.fail(self.workdir, self._taken, why)
            self._held.release()
            self._held = None


def work(
    workdir: filesystem.Path,
    cache: pathlib.Path,
    root: recipe.Ablation,
    out: rich.console.Console,
    *,
    beat: float = leases.BEAT,
    stale: float = leases.STALE,
    poll: float = POLL,
) -> dict[str, str]:
    """Run units until all are done, failed or blocked by failed ones; called in every process of the worker.

    Args:
        workdir: the shared work directory.
        cache: cache directory shared by runs.
        root: the ablation.
        out: console for progress messages.
        beat, stale: see `leases.claim`.
        poll: seconds between two polls of the work directory.

    Returns:
        unit -> why it failed.

    Raises:
        loop.Interrupted: a signal was received; the training state was saved.
        buckets.Unreachable: the bucket is unavailable.
        loop.Lost: another process of this worker was lost.
        UserError: the work directory was deleted, or a unit failed in a worker of several processes. The
            error may exist in this process only, while the others wait for it in a step. It is recorded, and
            a restarted worker skips the unit.
    """
    prints = fingerprints.Fingerprints(cache)
    known = units.units(root, prints)
    check_directory(workdir, root, known)
    runner = engine.Engine(workdir, cache, out, prints)
    desk = Desk(workdir, known, beat, stale)
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
                distributed.decide(functools.partial(runner.score, unit.planned, unit.evaluations))
            else:
                runner.train(unit.planned)
        except buckets.Unreachable:
            raise  # not an error of the unit: this worker, restarted, or another can run it
        except (errors.UserError, loop.Diverged) as error:
            if not workdir.exists():
                raise  # deleted: nothing can be recorded
            why = str(error)
            if jax.process_count() > 1 and isinstance(error, errors.UserError):
                leases.fail(workdir, unit.name, why)
                raise
            console.say(out, f"{unit.told}: {why}")
        finally:
            desk.give_back(why)


def _blocked(left: list[units.Unit], failed: dict[str, str]) -> set[str]:
    """Return the failed units and all units that depend on them; `left` has dependencies first."""
    found = set(failed)
    for unit in left:
        if found & set(unit.needs):
            found.add(unit.name)
    return found
