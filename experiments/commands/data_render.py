"""`prismlab data render`: raw files of three kinds, to try `prismlab data prepare` with."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments

NAME = "data render"
HELP = "render raw files of three kinds (clips, talks with subtitles, images) to try data prepare with"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    parser.add_argument("directory", type=path_arguments.local, metavar="DIR")
    parser.add_argument("--clips", type=int, default=1000, help="of all kinds together (default 1000)")


def run(options: argparse.Namespace) -> int:
    """Render the files."""
    from prismlab.data.corpus import demo_corpus
    from prismlab.experiments import console

    if options.clips < 40:
        raise errors.UserError(f"--clips must be at least 40, got {options.clips}")
    out = console.make_console()
    with console.Progress("render", options.clips, console=out) as bar:
        count = demo_corpus.render_raw(options.directory, options.clips, lambda done, total: bar.update(done))
    console.say(out, ", ".join(f"{number} {name}" for name, number in count.items()))
    return 0
