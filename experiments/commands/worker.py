"""`prismlab worker`: work off the rows of an ablation that nobody else works on."""

import argparse
import sys

from core import errors
from experiments.commands import recipe_file

NAME = "worker"
HELP = "do what is left of an ablation that `prismlab ablate --launcher` made ready; many may run at once"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    recipe_file.arguments(parser)
    recipe_file.workdir(parser)
    parser.add_argument("--stale", type=float, help="seconds without a sign of life that void a claim")


def run(options: argparse.Namespace) -> int:
    """Claim units, one after the other, until nothing is left."""
    from core import distributed
    from experiments import console, recipe, storage, strict
    from experiments.launch import claims, worker

    root = strict.load(options.file, options.bindings).root
    if not isinstance(root, recipe.Ablation):
        raise errors.UserError(f"{options.file} holds an Experiment; workers work off an Ablation")
    stale = claims.STALE if options.stale is None else options.stale
    if stale < 1:
        raise errors.UserError(f"--stale must be at least 1 second, got {stale}")

    def work() -> int:
        main = distributed.is_main()
        failed = worker.work(
            options.workdir, storage.default_cache(), root,
            console.make_console() if main else console.silent(),
            beat=min(claims.BEAT, stale / 5), stale=stale, poll=min(worker.POLL, stale / 5),
        )  # fmt: skip
        if main:
            for name, why in failed.items():
                print(f"prismlab: {name}: {why}", file=sys.stderr)
        return recipe_file.DIVERGED if failed else 0

    return recipe_file.together(root, work)
