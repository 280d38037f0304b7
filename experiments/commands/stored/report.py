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
    parser.add_argument(
        "--out",
        type=path_arguments.path,
        metavar="FOLDER",
        help="folder for the files (default: DIR), for a directory that may not be written",
    )
    parser.add_argument(
        "--latex",
        action="store_true",
        help="also write table.tex (booktabs, siunitx) and the forest plot as forest.pdf, for a paper",
    )
    parser.add_argument(
        "--checklist",
        action="store_true",
        help="only print a paragraph for a paper's appendix: seeds, intervals, compute, hardware, code",
    )


def run(options: argparse.Namespace) -> int:
    """Rewrite the files and print the table; a read-only directory is left as it is."""
    from prismlab.core import errors
    from prismlab.core.io import file_errors
    from prismlab.experiments import console
    from prismlab.experiments.certificate import checklist
    from prismlab.experiments.report import terminal_table
    from prismlab.experiments.results import gather
    from prismlab.experiments.verification import certificates

    out = console.make_console()
    found = gather.again(options.directory)
    if options.checklist:
        console.write(checklist.text(list(certificates.read(options.directory)), found.table))
        return 0
    terminal_table.print_table(found.table, out)
    folder = options.out or options.directory
    try:
        gather.write(found, options.directory, folder)
    except errors.UserError as error:
        if options.out or not file_errors.is_refused(error):
            raise
        console.tell(f"{folder} may not be written, so nothing is; --out FOLDER writes the files elsewhere")
    else:
        names = [
            "report.md",
            "report.html",
            *(gather.write_latex(found.table, folder) if options.latex else []),
        ]
        console.say(out, f"written: {folder / 'table.json'}, {', '.join(names)}")
    return 0
