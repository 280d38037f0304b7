"""`prismlab verify`: compare results with their certificates, and train some of their steps again."""

import argparse

from prismlab.experiments import exits
from prismlab.experiments.commands import path_arguments

NAME = "verify"
HELP = "compare a stage, or all of a work directory, with its certificate and train some steps again"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "directory",
        type=path_arguments.path,
        metavar="DIR",
        help="folder of a stage, or work directory: a folder or gs://bucket/folder",
    )
    parser.add_argument(
        "--steps", type=int, default=10, metavar="K", help="steps to train again (default: %(default)s)"
    )
    parser.add_argument(
        "--start",
        type=int,
        metavar="STEP",
        help="begin at the last checkpoint at or before this step (default: the last one before the end)",
    )


def run(options: argparse.Namespace) -> int:
    """Print what was found, and the causes of differences; exit code 3 if there is one."""
    from prismlab.core import address_space, errors
    from prismlab.core.parallel import cores
    from prismlab.experiments import console
    from prismlab.experiments.run import compilation_cache
    from prismlab.experiments.store import work_directory
    from prismlab.experiments.verification import certificates, verify

    if options.steps < 1:
        raise errors.UserError(f"--steps must be at least 1, got {options.steps}")
    trained = certificates.cores(options.directory)
    if len(trained) == 1:  # before JAX starts its threads
        cores.keep_to(*trained)
    cache = work_directory.default_cache()
    address_space.check()
    compilation_cache.enable(cache)
    out, differing, count = console.make_console(), 0, 0
    for each in verify.everything(options.directory, options.steps, options.start, cache):
        console.say(out, each.name)
        for line in each.lines:
            console.say(out, f"  {console.escaped(line)}")
        for line in each.causes:
            console.say(out, f"  cause: {console.escaped(line)}")
        differing, count = differing + bool(each.causes), count + 1
    console.say(out, f"{count - differing} of {count} results are as certified")
    return exits.SOME_FAILED if differing else exits.DONE
