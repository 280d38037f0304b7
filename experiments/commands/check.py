"""`prismlab check`: what can be known about a gin file without training."""

import argparse

from experiments.commands import recipe_file

NAME = "check"
HELP = "parse, lint and build a gin file by shape only; train nothing"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    recipe_file.arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print stages, objectives, parameter counts, steps and sources."""
    from experiments import check, console, strict

    check.show(strict.load(options.file, options.bindings).root, console.make_console())
    return 0
