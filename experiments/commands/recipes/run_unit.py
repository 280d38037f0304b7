"""`prismlab run-unit`: run one unit of an ablation; every scheduling engine starts this."""

import argparse

from prismlab.core import errors
from prismlab.experiments import exits
from prismlab.experiments.commands import shared_recipe

NAME = "run-unit"
HELP = (
    "train one stage or evaluate one row of an ablation prepared with `ablate --launcher` (engines start it)"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("unit", metavar="NAME", help="stage or evaluation, as `ablate --dry-run` prints it")
    shared_recipe.arguments(parser)
    shared_recipe.workdir(parser)


def run(options: argparse.Namespace) -> int:
    """Run a unit once, however often it is started: exit code 0 done, 2 user error, 4 diverged, 75 saved."""
    from prismlab.core.io import buckets
    from prismlab.core.parallel import cores, distributed
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.launch import prepared, unit_run
    from prismlab.experiments.recipe import recipe
    from prismlab.experiments.store import work_directory

    cores.keep_to_share()
    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Ablation):
        raise errors.UserError(f"{options.file} contains an Experiment; units are parts of an Ablation")
    prepared.check_store(options.workdir, options.store)

    def work() -> int:
        out = console.make_console() if distributed.is_main() else console.silent()
        try:
            return unit_run.run(
                options.unit, options.workdir, work_directory.default_cache(), root, out, loaded
            )
        except buckets.Unreachable as error:  # not an error of the unit: it may be started again
            console.tell(error)
            return exits.INTERRUPTED

    return shared_recipe.together(root, work)
