"""`prismlab check`: validate a gin file without training."""

import argparse

from prismlab.experiments.commands import shared_recipe

NAME = "check"
HELP = "validate a gin file: parse it, build every stage by shape, train nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print stages, objectives, parameter counts, steps and sources."""
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe.checks import check

    check.show(strict.load(options.file, options.bindings).root, console.make_console())
    return 0
