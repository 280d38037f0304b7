"""`prismlab train`: run an Experiment."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import shared_recipe

NAME = "train"
HELP = "run or resume the Experiment of a gin file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)
    shared_recipe.workdir(parser)
    shared_recipe.accept_code(parser)


def run(options: argparse.Namespace) -> int:
    """Train the stages in order and evaluate the last one."""
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import recipe

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Experiment):
        raise errors.UserError(
            f"{options.file} contains an Ablation; use: prismlab ablate {options.file} --workdir DIR"
        )
    rows, seeds = {root.name: root}, (root.seed,)
    if shared_recipe.reuse(options.workdir, options.store, loaded, rows, seeds):
        return 0
    return shared_recipe.execute(options.workdir, options.store, loaded, rows, seeds, options.accept_code)
