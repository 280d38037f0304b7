"""`prismlab check`: what can be known about a gin file without training."""

import argparse

from prismlab.experiments.commands import shared_recipe

NAME = "check"
HELP = "parse, lint and build a gin file by shape only; train nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    shared_recipe.arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print stages, objectives, parameter counts, steps and sources."""
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import check

    check.show(strict.load(options.file, options.bindings).root, console.make_console())
    return 0
