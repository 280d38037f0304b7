"""`prismlab data render`: render raw files of three kinds, as input for `prismlab data prepare`."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments

NAME = "data render"
HELP = "render raw files of three kinds (clips, talks with subtitles, images) as input for data prepare"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("directory", type=path_arguments.local, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--clips", type=int, default=1000, help="total number of clips (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Render the files and print their numbers."""
    from prismlab.data.corpus import demo_corpus
    from prismlab.experiments import console

    if options.clips < 40:
        raise errors.UserError(f"--clips must be at least 40, got {options.clips}")
    out = console.make_console()
    with console.Progress("render", options.clips, console=out) as bar:
        count = demo_corpus.render_raw(options.directory, options.clips, lambda done, total: bar.update(done))
    console.say(out, ", ".join(f"{number} {name}" for name, number in count.items()))
    return 0
