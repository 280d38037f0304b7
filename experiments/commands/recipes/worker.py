"""`prismlab worker`: run pending units of an ablation."""

import argparse

from prismlab.core import errors
from prismlab.experiments import exits
from prismlab.experiments.commands import shared_recipe

NAME = "worker"
HELP = "run pending units of an ablation prepared with `ablate --launcher`; many workers may run in parallel"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)
    shared_recipe.workdir(parser)
    parser.add_argument("--stale", type=float, help="lease timeout in seconds (default: 90)")


def run(options: argparse.Namespace) -> int:
    """Lease and run units, one after the other, until none is pending."""
    from prismlab.core.parallel import distributed
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.launch import prepared, worker
    from prismlab.experiments.recipe import recipe
    from prismlab.experiments.store import leases, work_directory

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Ablation):
        raise errors.UserError(f"{options.file} contains an Experiment; workers need an Ablation")
    stale = leases.STALE if options.stale is None else options.stale
    if stale < 1:
        raise errors.UserError(f"--stale must be at least 1 second, got {stale}")

    prepared.check_store(options.workdir, options.store)

    def work() -> int:
        main = distributed.is_main()
        failed = worker.work(
            options.workdir, work_directory.default_cache(), root,
            console.make_console() if main else console.silent(),
            beat=min(leases.BEAT, stale / 5), stale=stale, poll=min(worker.POLL, stale / 5), loaded=loaded,
        )  # fmt: skip
        if main:
            for name, why in failed.items():
                console.tell(f"{name}: {why}")
        return exits.DIVERGED if failed else 0

    return shared_recipe.together(root, work)
