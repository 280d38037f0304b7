"""`prismlab diff`: what differs between two stages, scores or work directories."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "diff"
HELP = "print in a few lines what differs between two stages, scores or work directories"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    for name in ("first", "second"):
        parser.add_argument(
            name,
            type=path_arguments.path,
            metavar=name.upper(),
            help="folder of a stage, scores/<address>.json, or work directory",
        )


def run(options: argparse.Namespace) -> int:
    """Print the differences in configuration, code, data and environment."""
    from prismlab.experiments import console
    from prismlab.experiments.verification import certificates

    for line in certificates.difference(options.first, options.second):
        console.write(console.escaped(line))  # names in it may come from strangers
    return 0
