"""`prismlab find`: query the stages and evaluations of a store."""

import argparse
from typing import Any

from prismlab.experiments.commands import path_arguments

NAME = "find"
HELP = "list stages and evaluations of a store, by their configuration, names, users and scores"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "words",
        nargs="*",
        type=path_arguments.any_place,
        metavar="[STORE] FIELD=VALUE",
        help="the store (default: $PRISMLAB_STORE), then conditions such as kind=stage, name='stage*', "
        "steps=300, user=ada, state=unfinished, pinned=true",
    )
    parser.add_argument("--json", action="store_true", help="print everything that is known as JSON")


def run(options: argparse.Namespace) -> int:
    """Print one line for each stage and evaluation that fits."""
    import json

    from prismlab.experiments import console
    from prismlab.experiments.store import store, store_search

    words = list(options.words)
    given = path_arguments.path(words.pop(0)) if words and "=" not in words[0] else None
    home = store.named(given)
    found = store_search.find(home, store_search.conditions(words))
    if options.json:
        console.write(json.dumps([store_search.plain(each) for each in found], indent=1))
        return 0
    heads = ("address", "kind", "name", "seed", "state", "by", "used by", "scores")
    console.table(console.make_console(), heads, [_line(each) for each in found], numbers=("seed",))
    return 0


def _line(each: Any) -> list[str]:
    scores = ", ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in each.metrics.items()
    )
    users = f"{len(each.used_by)} work directories" if len(each.used_by) > 1 else "".join(each.used_by)
    return [
        each.address, each.kind, each.name, "" if each.seed is None else str(each.seed), each.state,
        each.writer.get("user", ""), users + (" (pinned)" if each.pinned else ""), scores,
    ]  # fmt: skip
