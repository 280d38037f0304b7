"""Launch an ablation (`prismlab ablate --launcher`): prepare the work directory, start an engine."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import cast

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.parallel import rendezvous
from prismlab.experiments import console, exits
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import executor, prepared, units
from prismlab.experiments.preview import accepted_code, explain, explain_graph
from prismlab.experiments.recipe import resources
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine, finished_rows, rows, warm_up
from prismlab.experiments.store import leases, store, views, work_directory


def settings(pairs: list[str]) -> dict[str, str]:
    """Parse KEY=VALUE settings.

    Raises:
        UserError: a setting is malformed or given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name or not value:
            raise errors.UserError(f"--setting {pair!r} must have the form KEY=VALUE")
        if name in found:
            raise errors.UserError(f"--setting {name} is given twice")
        found[name] = value
    return found


def run(options: argparse.Namespace, loaded: strict.Loaded) -> int:
    """Prepare the work directory and run or submit the units, or print what would run.

    Args:
        options: command line options: file, bindings, workdir, store, launcher, jobs, setting, scheduler,
            fail_fast, dry_run.
        loaded: the recipe; its root is an Ablation.

    Returns:
        The exit code: that of a unit that failed, the smallest if several did (`exits`).

    Raises:
        UserError: an option is invalid, or a unit cannot be scheduled.
    """
    if options.jobs is not None and options.jobs < 1:
        raise errors.UserError(f"--jobs must be at least 1, got {options.jobs}")
    if options.scheduler and options.launcher != "dask":
        raise errors.UserError("--scheduler belongs to --launcher dask")
    if options.launcher == "local" and rendezvous.wanted(os.environ) is not None:
        raise errors.UserError(
            "--launcher local starts single-process units, but this environment defines several processes "
            f"(by {', '.join(rendezvous.VARIABLES)}, SLURM, or a multi-host TPU slice); drop --launcher, or "
            "start `prismlab worker` in every process"
        )
    given, root = settings(options.setting), loaded.root
    cache = work_directory.default_cache()
    work_directory.check_usable(options.workdir)
    kept = store.choose(options.workdir, options.store)
    accepted = accepted_code.Accepted(options.accept_code, kept)
    prints = fingerprints.Fingerprints(cache, accepted)
    lines, known = stages.lines(root.experiments(), root.seeds, prints), units.units(root, prints)
    accepted.check(lines)
    if options.dry_run:
        console.write("\n".join(explain.text(lines, kept, prints.unstated)))
        console.write("\n".join(explain_graph.text(lines, kept)))
        if not options.launcher:
            return exits.DONE
    todo = tuple(unit for unit in known if not units.is_done(unit, kept))
    order = executor.Order(
        todo, options.file, tuple(options.bindings), filesystem.absolute(options.workdir), options.jobs,
        given, options.scheduler or "", options.fail_fast,
    )  # fmt: skip
    engines = f"prismlab.experiments.launch.engines.{options.launcher}"
    platform = cast(executor.Executor, importlib.import_module(engines))
    preview = platform.preview(order)  # raises errors in the settings before anything is written
    if options.dry_run:
        console.write("\n".join(described(known, kept)))
        console.write(preview)
        return exits.DONE
    out = console.make_console()
    with work_directory.claimed(options.workdir, root, loaded.text):
        views.register(kept, views.ROWS, views.of_lines(lines, kept))  # units read view.json
        leases.forgive(options.workdir)
        console.write("\n".join(explain.text(lines, kept, prints.unstated)))
        sys.stdout.flush()  # before the lines of the units
        prepared.record(options.workdir, known, options.accept_code)
        if todo:
            warm_up.everything(root.experiments(), cache, out)
        ended = platform.run(order) if todo else executor.Ended()
        if ended is None:
            return exits.DONE
        if ended.interrupted:
            console.tell("stopped; saved results are kept, run the same command to continue")
            return exits.INTERRUPTED
        runner = engine.Engine(options.workdir, cache, out, prints, kept, loaded)
        done, missing = finished_rows.write(runner, lines)
        if done:
            rows.tabulate(kept, lines, loaded, cache, out, not missing)
        for line in failed(todo, ended, kept):
            console.tell(line)
        return min(ended.codes.values(), default=exits.DONE)


def failed(todo: Sequence[units.Unit], ended: executor.Ended, kept: store.Store) -> list[str]:
    """Return one line for each unit that failed, and one for all that were not run because of them."""
    why = leases.failures(kept.workdir)
    told = {exits.DEFECT: "ended with an error in prismlab", exits.INTERRUPTED: "was killed or interrupted"}
    lines = [
        f"{unit.told}: {why.get(unit.name) or told.get(ended.codes[unit.name], 'failed')}"
        for unit in todo
        if unit.name in ended.codes
    ]
    left = [unit for unit in todo if unit.name not in ended.codes and not units.is_done(unit, kept)]
    if lines and left:
        names = ", ".join(each.told for each in left[:3]) + (", ..." if len(left) > 3 else "")
        lines.append(f"not run because of that: {names}; run the same command to try again")
    return lines


def described(todo: list[units.Unit], kept: store.Store) -> list[str]:
    """Return one line for each unit: done, leased by a process that may be running, failed, or to do."""
    busy, failed = leases.living(kept.home), leases.failures(kept.workdir)
    lines = []
    for unit in todo:
        state = "to do"
        if unit.name in failed:
            state = "failed"
        if unit.lease in busy:
            state = f"on {busy[unit.lease]['host']}"
        if units.is_done(unit, kept):
            state = "done"
        after = f"  after {', '.join(unit.needs)}" if unit.needs else ""
        stated = unit.reserve.stated()
        reserved = f"  reserves {resources.text(stated)}" if stated else ""
        lines.append(f"{state:8} {unit.name}  {unit.told}{after}{reserved}")
    return lines
