"""`prismlab digest`: one line for each saved stage."""

import argparse

from experiments.commands import paths

NAME = "digest"
HELP = "print name, step and sha256 of the parameters of every saved stage"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    parser.add_argument("directory", type=paths.place, metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Print the lines."""
    from experiments import storage

    for name, at, digest in storage.digests(options.directory):
        print(name, at, digest)
    return 0
