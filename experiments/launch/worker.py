"""A worker: claims a unit that is ready, does it, and goes on until nothing is left to do."""

import pathlib
import time

import rich.console

from core import errors, loop
from experiments import console, describe, engine, recipe, storage
from experiments.launch import claims, units

POLL = 5.0  # seconds between two looks at what others have finished


def check_directory(workdir: pathlib.Path, root: recipe.Ablation) -> None:
    """Refuse a work directory that was not made ready for this ablation.

    Raises:
        UserError: it holds no configuration, or another one.
    """
    if not (workdir / "config.json").is_file():
        raise errors.UserError(
            f"{workdir} is not made ready; first: prismlab ablate FILE.gin --workdir {workdir} --launcher ..."
        )
    lines = describe.difference(storage.read_json(workdir / "config.json"), describe.describe(root))
    if lines:
        raise errors.UserError(f"{workdir} holds another configuration: " + "; ".join(lines[:5]))


def work(
    workdir: pathlib.Path,
    cache: pathlib.Path,
    root: recipe.Ablation,
    out: rich.console.Console,
    *,
    beat: float = claims.BEAT,
    stale: float = claims.STALE,
    poll: float = POLL,
) -> dict[str, str]:
    """Do units until all are done, failed, or wait for failed ones.

    Args:
        workdir: the shared work directory.
        cache: directory shared by runs.
        root: the ablation.
        out: where progress is shown.
        beat, stale: see `claims.claim`.
        poll: seconds between two looks at what others have finished.

    Returns:
        unit -> why it could not be done.

    Raises:
        loop.Interrupted: a signal came; what was trained so far is on disk.
    """
    check_directory(workdir, root)
    runner = engine.Engine(workdir, cache, out)
    todo = units.units(root)
    tasks = {label: dict(each.tasks) for label, each in root.experiments().items()}
    while True:
        failed = claims.failures(workdir)
        left = [unit for unit in todo if not units.is_done(unit, workdir, tasks.get(unit.row, {}))]
        open_names = {unit.name for unit in left}
        blocked = _blocked(left, failed)
        left = [unit for unit in left if unit.name not in blocked]
        if not left:
            return failed
        ready = [unit for unit in left if not open_names & set(unit.needs)]
        if not any(_do(unit, runner, workdir, tasks, out, beat, stale) for unit in ready):
            time.sleep(poll)


def _blocked(left: list[units.Unit], failed: dict[str, str]) -> set[str]:
    """Return failed units and all that wait for them."""
    found = set(failed)
    while True:
        more = {unit.name for unit in left if unit.name not in found and found & set(unit.needs)}
        if not more:
            return found
        found |= more


def _do(
    unit: units.Unit, runner: engine.Engine, workdir: pathlib.Path, tasks: dict,
    out: rich.console.Console, beat: float, stale: float,
) -> bool:  # fmt: skip
    """Do a unit if nobody else does; return whether it was ours."""
    held = claims.claim(workdir, unit.name, beat=beat, stale=stale)
    if held is None:
        return False
    try:
        if units.is_done(unit, workdir, tasks.get(unit.row, {})):
            return False  # finished between our look and our claim
        console.say(out, unit.told)
        if unit.row:
            runner.score(unit.planned, tasks[unit.row])
        else:
            runner.train(unit.planned)
    except (errors.UserError, loop.Diverged) as error:
        claims.fail(workdir, unit.name, str(error))
        console.say(out, f"{unit.told}: {error}")
    finally:
        held.release()
    return True
