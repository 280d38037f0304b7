"""`prismlab report`: rebuild table and pages of a work directory."""

import argparse

from experiments.commands import paths

NAME = "report"
HELP = "rebuild table.json, report.md and report.html of a work directory"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    parser.add_argument("directory", type=paths.place, metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Write the three files again and print the table."""
    from experiments import console, gather, report

    out = console.make_console()
    report.print_table(gather.again(options.directory), out)
    console.say(out, f"written: {options.directory / 'table.json'}, report.md, report.html")
    return 0
