"""Worker: leases and runs units until none is pending.

A worker may have several processes (the hosts of a slice): process 0 holds the lease, and all train.
"""

import pathlib
import time
from typing import Any

import rich.console

from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import prepared, unit_run, units
from prismlab.experiments.recipe import recipe
from prismlab.experiments.run import engine
from prismlab.experiments.store import leases, store

POLL = 5.0  # seconds between two polls of the work directory


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
    loaded: strict.Loaded | None = None,
) -> dict[str, str]:
    """Run units until all are done, failed or blocked by failed ones; called in every process of the worker.

    Args:
        workdir: the shared work directory.
        cache: cache directory shared by runs.
        root: the ablation.
        out: console for progress messages.
        beat, stale: see `leases.claim`.
        poll: seconds between two polls of the work directory.
        loaded: the recipe as it was read, for the certificates.

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
    prints = prepared.prints(workdir, cache)
    known = units.units(root, prints)
    prepared.check(workdir, root, known)
    runner = engine.Engine(workdir, cache, out, prints, loaded=loaded)
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
            _, why = unit_run.once(unit, runner)
            if why:
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
