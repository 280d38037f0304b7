"""`prismlab digest`: one line per saved stage."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "digest"
HELP = "print name, step and sha256 of the parameters of every saved stage"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "directory",
        type=path_arguments.path,
        metavar="DIR",
        help="work directory: a folder or gs://bucket/folder",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per stage."""
    from prismlab.experiments import console
    from prismlab.experiments.store import work_directory

    for name, at, digest in work_directory.digests(options.directory):
        console.write(f"{name} {at} {digest}")
    return 0
