"""`prismlab ablate`: run an Ablation and print its table of results."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import shared_recipe

NAME = "ablate"
HELP = "run or resume the Ablation of a gin file and print its table"
LAUNCHERS = ("local", "dask", "slurm", "gke")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)
    shared_recipe.workdir(parser)
    shared_recipe.accept_code(parser)
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help="run stages and evaluations as jobs on this platform (default: run them in this process)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="units at a time with --launcher (default: 2 on this machine, else what the cluster has)",
    )
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="platform setting for --launcher; may be repeated",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="address of a running Dask scheduler, tcp://HOST:PORT"
    )
    parser.add_argument(
        "--fail-fast",
        action="store_true",
        help="stop when a stage or an evaluation fails (default: the others continue)",
    )
    parser.add_argument(
        "--explain",
        "--dry-run",
        dest="dry_run",
        action="store_true",
        help="print what would run, why and at what cost, without running it",
    )


def run(options: argparse.Namespace) -> int:
    """Train and evaluate every row with every seed; shared stages are trained once."""
    import jax

    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import recipe

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Ablation):
        raise errors.UserError(
            f"{options.file} contains an Experiment; use: prismlab train {options.file} --workdir DIR"
        )
    idle = [f"--{name}" for name in ("jobs", "setting", "scheduler") if getattr(options, name)]
    if idle and not options.launcher:
        raise errors.UserError(f"{', '.join(idle)} needs --launcher, which starts units on an engine")
    rows = root.experiments()
    if not options.dry_run and shared_recipe.reuse(options.workdir, options.store, loaded, rows, root.seeds):
        return 0
    if options.dry_run:
        jax.config.update("jax_platforms", "cpu")  # a look takes no accelerator from those who train
    if options.launcher or options.dry_run:
        from prismlab.experiments.launch import launch  # slow to import

        return launch.run(options, loaded)
    return shared_recipe.execute(
        options.workdir, options.store, loaded, rows, root.seeds, options.accept_code, options.fail_fast
    )
