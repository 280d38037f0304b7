"""`prismlab pin`: keep stages and scores of a store, whatever work directories need."""

import argparse

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "pin"
HELP = "keep the stages and scores of a work directory, or one address, from `prismlab gc`"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what",
        type=path_arguments.any_place,
        metavar="WORKDIR|ADDRESS",
        help="a work directory, or the 16 hexadecimal digits of a stage or evaluation",
    )
    shared_recipe.store(parser)
    parser.add_argument("--unpin", action="store_true", help="remove the pin")


def run(options: argparse.Namespace) -> int:
    """Write or remove the pin, and say what it keeps."""
    import os

    from prismlab.core.io import filesystem
    from prismlab.experiments import console
    from prismlab.experiments.store import pins, store, views

    out = console.make_console()
    if store.is_address(options.what):
        what, home = options.what, store.named(options.store)
    else:
        workdir = filesystem.absolute(path_arguments.path(options.what))
        what, home = os.fspath(workdir), store.choose(workdir, options.store).home
    if options.unpin:
        if not views.unpin(home, what):
            raise errors.UserError(f"{what} is not pinned in {home}; pinned are {pins.names(home)}")
        console.say(out, f"{what}: no longer pinned in {home}")
        return 0
    uses = pins.uses_of(home, what)
    views.pin(home, what, uses, views.writer(home)["user"])
    pins.check_present(home, uses)
    console.say(
        out, f"{what}: {len(uses.stages)} stages and {len(uses.scores)} evaluations are pinned in {home}"
    )
    return 0
