"""`prismlab report`: rebuild the table and pages of a work directory."""

import argparse

from prismlab.experiments.commands import path_arguments

NAME = "report"
HELP = "rebuild table.json, report.md and report.html of a work directory"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "directory",
        type=path_arguments.path,
        metavar="DIR",
        help="work directory: a folder or gs://bucket/folder",
    )


def run(options: argparse.Namespace) -> int:
    """Rewrite the three files and print the table."""
    from prismlab.experiments import console
    from prismlab.experiments.report import terminal_table
    from prismlab.experiments.run import gather

    out = console.make_console()
    terminal_table.print_table(gather.again(options.directory), out)
    console.say(out, f"written: {options.directory / 'table.json'}, report.md, report.html")
    return 0
