"""`prismlab world`: render clips of the video world."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments

NAME = "world"
HELP = "render clips of the video world as MP4 files with captions and ground truth"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("directory", type=path_arguments.local, metavar="DIR", help="folder to write to")
    parser.add_argument("--clips", type=int, required=True, help="number of clips")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Render the clips."""
    from prismlab.data.world import render, world
    from prismlab.experiments import console

    if options.clips < 1:
        raise errors.UserError(f"--clips must be at least 1, got {options.clips}")
    out = console.make_console()
    with console.Progress("render", options.clips, console=out) as bar:
        described = world.World(clips=options.clips, seed=options.seed)
        render.render(described, options.directory, progress=lambda done, total: bar.update(done))
    return 0
