"""`prismlab train`: run an Experiment."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import shared_recipe

NAME = "train"
HELP = "run the Experiment of a gin file, or go on with it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    shared_recipe.arguments(parser)
    shared_recipe.workdir(parser)


def run(options: argparse.Namespace) -> int:
    """Train the stages in order and score the last."""
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import recipe

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Experiment):
        raise errors.UserError(
            f"{options.file} holds an Ablation; use: prismlab ablate {options.file} --workdir DIR"
        )
    return shared_recipe.execute(options.workdir, root, loaded.text, {root.name: root}, (root.seed,), ())
