"""`prismlab gc`: remove from a store what no work directory and no pin needs."""

import argparse
from typing import Any

from prismlab.experiments.commands import path_arguments

NAME = "gc"
HELP = "list what no registered work directory and no pin needs in a store; --delete removes it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "store",
        type=path_arguments.path,
        metavar="STORE",
        help="the --store of train, ablate and eval, or a work directory",
    )
    parser.add_argument("--delete", action="store_true", help="remove it (default: only list it)")
    parser.add_argument(
        "--forget",
        action="append",
        default=[],
        metavar="WORKDIR",
        help="give up what a work directory that is gone needs; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line for each item, with its size; then remove them if asked to."""
    from prismlab.core import errors
    from prismlab.experiments import console, exits
    from prismlab.experiments.store import garbage, views

    out, home = console.make_console(), options.store
    garbage.survey(home)  # before anything is forgotten in a folder that is no store
    for name in options.forget:
        if not views.forget(home, name):
            known = sorted({each.workdir for each in views.registered(home) if each.workdir})
            raise errors.UserError(f"--forget {name}: no such work directory is registered; known: {known}")
        console.say(out, f"forgotten: {name}")
    found = garbage.survey(home)
    _list(found, out)
    if not options.delete or not found.garbage:
        return 0
    outcome = garbage.remove(home, lambda line: console.say(out, line))
    console.say(out, f"removed {len(outcome.removed)} items")
    for each in outcome.held:
        console.tell(f"{each.path.name}: in use, kept")
    for _, why in outcome.failed:
        console.tell(why)
    return exits.SOME_FAILED if outcome.failed else 0


def _list(found: Any, out: Any) -> None:
    from prismlab.experiments import console
    from prismlab.experiments.store import garbage

    sizes = [garbage.size(each) for each in found.garbage]
    for each, size in zip(found.garbage, sizes):
        held = " (may be in use)" if each in found.held else ""
        console.say(out, f"{size:>14,} bytes  {each.kind}  {each.path.name}{held}")
    for view in found.gone:
        uses = view.all_uses
        console.say(
            out,
            f"{view.workdir} of {view.user} is gone; its {len(uses.stages)} stages and {len(uses.scores)} "
            f"evaluations are kept until --forget {view.workdir}",
        )
    console.say(
        out,
        f"{len(found.garbage)} of {len(found.items)} items are not needed: {sum(sizes):,} bytes"
        + ("; --delete removes them" if found.garbage else ""),
    )
