"""Launch an ablation (`prismlab ablate --launcher`): prepare the work directory and start the workers."""

import argparse
import importlib
import os
import sys
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.parallel import rendezvous
from prismlab.experiments import console
from prismlab.experiments.launch import units, worker, worker_command
from prismlab.experiments.recipe import fingerprints, recipe, stages
from prismlab.experiments.run import explain, leases, store, warm_up, work_directory


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


def run(options: argparse.Namespace, root: recipe.Ablation, text: str) -> int:
    """Prepare the work directory and start the workers, or print what would run.

    Args:
        options: command line options: file, bindings, workdir, store, launcher, jobs, setting, dry_run.
        root: the ablation.
        text: the configuration as flat gin.

    Returns:
        The exit code.

    Raises:
        UserError: an option is invalid, or the directory contains another configuration.
    """
    if options.jobs < 1:
        raise errors.UserError(f"--jobs must be at least 1, got {options.jobs}")
    if options.launcher == "local" and rendezvous.wanted(os.environ) is not None:
        raise errors.UserError(
            "--launcher local starts single-process workers, but this environment defines several processes "
            f"(by {', '.join(rendezvous.VARIABLES)}, SLURM, or a multi-host TPU slice); drop --launcher, or "
            "start `prismlab worker` in every process"
        )
    order = worker_command.Order(
        options.file,
        tuple(options.bindings),
        filesystem.absolute(options.workdir),
        options.jobs,
        settings(options.setting),
    )
    platform: Any = importlib.import_module(f"prismlab.experiments.launch.{options.launcher or 'local'}")
    preview = platform.preview(order)  # raises errors in the settings before anything is written
    prints = fingerprints.Fingerprints(work_directory.default_cache())
    lines, todo = stages.lines(root.experiments(), root.seeds, prints), units.units(root, prints)
    kept = store.choose(options.workdir, options.store)
    if options.dry_run:
        work_directory.check_usable(options.workdir)  # as `claimed` does below
        console.write("\n".join(explain.text(lines, kept, prints.unstated)))
        console.write("\n".join(described(todo, kept)))
        console.write(preview)
        return 0
    with work_directory.claimed(options.workdir, root, text):
        store.prepare(kept)  # workers find it in view.json
        leases.forgive(options.workdir)
        console.write("\n".join(explain.text(lines, kept, prints.unstated)))
        sys.stdout.flush()  # before the lines of the workers
        work_directory.record(options.workdir / worker.PREPARED, worker.facts(todo))
        warm_up.everything(root.experiments(), work_directory.default_cache(), console.make_console())
        return platform.run(order)


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
        lines.append(f"{state:8} {unit.name}  {unit.told}{after}")
    return lines
