"""`prismlab new`: start an objective, mask, source or task of your own."""

import argparse
import pathlib

from prismlab.experiments.commands import path_arguments

NAME = "new"
HELP = "write an objective, mask, source or task of your own: its file, its test and a gin file with a row"
KINDS = ("objective", "mask", "source", "task")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add kind, name and package."""
    parser.add_argument("kind", choices=KINDS, help="what to write")
    parser.add_argument("name", metavar="NAME", help="name of the module, such as soft_margin")
    parser.add_argument(
        "--package",
        type=path_arguments.local,
        default=pathlib.Path(),
        metavar="DIR",
        help="folder of your package; an empty or new folder becomes one (default: the current directory)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the files, and say what to run next."""
    from prismlab.experiments import console
    from prismlab.experiments.kit import new_component

    folder = options.package.absolute()
    files = new_component.write(options.kind, options.name, folder)
    out = console.make_console()
    for path in files:
        console.say(out, f"written: {path}")
    advice = new_component.path_advice(new_component.package_of(folder), folder)
    if advice is not None:
        console.say(out, advice)
    _, test, gin = files[-3:]
    console.say(out, f"then: pytest {test}")
    console.say(out, f"      prismlab check {gin}")
    console.say(out, f"      prismlab ablate {gin} --workdir runs/{options.name}")
    return 0
