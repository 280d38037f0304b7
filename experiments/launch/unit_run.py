"""Run one unit of an ablation in this process, or in the processes of one slice: `prismlab run-unit`.

It may be started again, or by two engines at once: it waits for a process that runs the same unit, reuses
what is done and resumes what was interrupted.
"""

import contextlib
import functools
import pathlib

import jax
import rich.console

from prismlab.core import errors
from prismlab.core.io import buckets, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train.loops import loop
from prismlab.experiments import console, exits
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import prepared, units
from prismlab.experiments.recipe import recipe
from prismlab.experiments.run import engine
from prismlab.experiments.store import leases


def run(
    name: str,
    workdir: filesystem.Path,
    cache: pathlib.Path,
    root: recipe.Ablation,
    out: rich.console.Console,
    loaded: strict.Loaded | None = None,
) -> int:
    """Run a unit, in turn with other processes that run the same one.

    Args:
        name: the stage or evaluation, as `ablate --dry-run` prints it; an evaluation runs with the others of
            its row.
        workdir: the shared work directory.
        cache: directory shared by runs.
        root: the ablation.
        out: console for progress.
        loaded: the recipe as it was read, for the certificates.

    Returns:
        The exit code: 0, 2 or 4 (`exits`); the reason of 2 and 4 is printed and recorded.

    Raises:
        loop.Interrupted: a signal was received; the training state was saved.
        UserError: the ablation has no such unit, or a unit that it needs is not done.
    """
    prints = prepared.prints(workdir, cache)
    known = units.units(root, prints)
    by_name = {each.name: each for each in known}
    unit = units.named(name, known)
    if unit is None:
        raise errors.UserError(distributed.decide(lambda: prepared.why_unknown(name, workdir, known)))
    runner = engine.Engine(workdir, cache, out, prints, loaded=loaded)
    if distributed.decide(lambda: units.is_done(unit, runner.kept)):
        console.say(out, f"{unit.told}: already done")
        return exits.DONE
    missing = distributed.decide(
        lambda: [each for each in unit.needs if not units.is_done(by_name[each], runner.kept)]
    )
    if missing:
        raise errors.UserError(f"{unit.name} needs {', '.join(missing)}, which must be done first")
    with contextlib.ExitStack() as held:
        distributed.decide(lambda: held.enter_context(runner.kept.turn(unit.lease)))
        if distributed.decide(lambda: units.is_done(unit, runner.kept)):
            console.say(out, f"{unit.told}: done by another process")
            return exits.DONE
        code, why = once(unit, runner)
        if why and distributed.is_main():
            leases.fail(workdir, unit.name, why)
            console.tell(f"{unit.told}: {why}")
    return code


def once(unit: units.Unit, runner: engine.Engine) -> tuple[int, str]:
    """Train or evaluate; the caller holds the lease on the unit.

    Args:
        unit: a unit whose parents are done.
        runner: trains and evaluates.

    Returns:
        The exit code, and why the unit failed ("" if it did not).

    Raises:
        loop.Interrupted, loop.Lost, buckets.Unreachable: not an error of the unit, which may run again.
        UserError: in a run of several processes; the error may exist in this process only, while the others
            wait for it in a step.
    """
    try:
        if unit.row:
            # As in `rows.run`: process 0 evaluates, on its first device.
            distributed.decide(functools.partial(runner.score, unit.planned, unit.evaluations))
        else:
            runner.train(unit.planned)
    except buckets.Unreachable:
        raise
    except loop.Diverged as error:
        return exits.DIVERGED, str(error)
    except errors.UserError as error:
        if jax.process_count() > 1 or not runner.workdir.exists():
            if runner.workdir.exists():
                leases.fail(runner.workdir, unit.name, str(error))
            raise
        return exits.USER_ERROR, str(error)
    return exits.DONE, ""
