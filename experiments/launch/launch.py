"""From `prismlab ablate --launcher` to workers: make the directory ready, then hand over to the platform."""

import argparse
import importlib
import os
from typing import Any

from core import errors, joining, places
from experiments import console, prepare, recipe, storage
from experiments.launch import claims, command, units


def settings(pairs: list[str]) -> dict[str, str]:
    """Read KEY=VALUE settings.

    Raises:
        UserError: one has another form or comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name or not value:
            raise errors.UserError(f"--setting {pair!r} must read KEY=VALUE")
        if name in found:
            raise errors.UserError(f"--setting {name} is given twice")
        found[name] = value
    return found


def run(options: argparse.Namespace, root: recipe.Ablation, text: str) -> int:
    """Print what would run, or make the directory ready and start workers.

    Args:
        options: of the command line: file, bindings, workdir, launcher, jobs, setting, dry_run.
        root: the ablation.
        text: the configuration as flat gin.

    Returns:
        The exit code.

    Raises:
        UserError: an option does not fit, or the directory holds another configuration.
    """
    if options.jobs < 1:
        raise errors.UserError(f"--jobs must be at least 1, got {options.jobs}")
    if options.launcher == "local" and joining.wanted(os.environ) is not None:
        raise errors.UserError(
            "--launcher local starts workers of one process, but this environment joins several (by "
            f"{', '.join(joining.VARIABLES)}, SLURM, or a TPU slice of several hosts); leave the launcher "
            "out, or start `prismlab worker` in every process"
        )
    order = command.Order(
        options.file,
        tuple(options.bindings),
        places.absolute(options.workdir),
        options.jobs,
        settings(options.setting),
    )
    platform: Any = importlib.import_module(f"experiments.launch.{options.launcher or 'local'}")
    preview = platform.preview(order)  # faults of the settings come up before anything is written
    todo = units.units(root)
    if options.dry_run:
        storage.check_continues(options.workdir, root)  # as `claimed` does below
        print("\n".join(described(todo, root, options.workdir)))
        print(preview)
        return 0
    with storage.claimed(options.workdir, root, text):
        busy = claims.living(options.workdir)
        if busy and options.launcher == "local":
            raise errors.UserError(f"workers are busy in {options.workdir} ({len(busy)}); wait for them")
        claims.forgive(options.workdir)
        prepare.everything(root.experiments(), storage.default_cache(), console.make_console())
        return platform.run(order)


def described(todo: list[units.Unit], root: recipe.Ablation, workdir: places.Place) -> list[str]:
    """Return one line for each unit: done, claimed by somebody alive, failed, or to do."""
    tasks = {label: dict(each.tasks) for label, each in root.experiments().items()}
    busy, failed = claims.living(workdir), claims.failures(workdir)
    lines = []
    for unit in todo:
        state = "to do"
        if unit.name in failed:
            state = "failed"
        if unit.name in busy:
            state = f"on {busy[unit.name]['host']}"
        if units.is_done(unit, workdir, tasks.get(unit.row, {})):
            state = "done"
        after = f"  after {', '.join(unit.needs)}" if unit.needs else ""
        lines.append(f"{state:8} {unit.name}  {unit.told}{after}")
    return lines
