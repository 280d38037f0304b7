"""`prismlab ablate`: run an Ablation and print its table."""

import argparse

from core import errors
from experiments.commands import recipe_file

NAME = "ablate"
HELP = "run the Ablation of a gin file, or go on with it, and print its table"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    recipe_file.arguments(parser)
    recipe_file.workdir(parser)


def run(options: argparse.Namespace) -> int:
    """Train and score every row with every seed; stages that rows share are trained once."""
    from experiments import recipe, strict

    loaded = strict.load(options.file, options.bindings)
    root = loaded.root
    if not isinstance(root, recipe.Ablation):
        raise errors.UserError(
            f"{options.file} holds an Experiment; use: prismlab train {options.file} --workdir DIR"
        )
    return recipe_file.execute(
        options.workdir, root, loaded.text, root.experiments(), root.seeds, root.compare_with
    )
