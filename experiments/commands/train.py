"""`prismlab train`: run an Experiment."""

import argparse

from core import errors
from experiments.commands import recipe_file

NAME = "train"
HELP = "run the Experiment of a gin file, or go on with it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    recipe_file.arguments(parser)
    recipe_file.workdir(parser)


def run(options: argparse.Namespace) -> int:
    """Train the stages in order and score the last."""
    from experiments import recipe, strict

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Experiment):
        raise errors.UserError(
            f"{options.file} holds an Ablation; use: prismlab ablate {options.file} --workdir DIR"
        )
    return recipe_file.execute(options.workdir, root, loaded.text, {root.name: root}, (root.seed,), ())
