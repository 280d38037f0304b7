"""The command `prismlab`: finds the commands in `experiments/commands/`, runs one, gives its exit code.

Exit codes: 0 done; 1 a defect of ours (traceback); 2 a mistake that the message says how to mend; 3 done, but
some of the user's files failed and are listed; 4 the loss was not finite; 75 interrupted and saved, run the
same command to go on.
"""

import argparse
import errno
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core import errors, setup
from prismlab.core.train import allocator
from prismlab.experiments import commands

# In the order of a newcomer's first day; a command that is not listed comes after them, by name.
FIRST = ("check", "train", "ablate", "report", "digest", "world", "embed", "search")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after `prismlab`; None reads the process's own.

    Returns:
        The exit code.
    """
    setup.setup()
    allocator.keep_freed()
    sys.unraisablehook = _without_echoes
    try:
        options = _parser().parse_args(arguments)
        return options.run(options)
    except errors.UserError as error:
        errors.tell(error)
        return 2
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = f"the disk is full ({error.filename}); free some space, run the command again"
        elif isinstance(error, PermissionError | FileExistsError | NotADirectoryError | IsADirectoryError):
            told = f"{error.filename}: {error.strerror}; give another place or mend this one"
        elif _of_a_bucket(error):
            told = _in_a_line(error)
        else:
            raise
        print(f"prismlab: {told}", file=sys.stderr)
        return 2
    except Exception as error:
        if not _of_a_bucket(error):
            raise
        print(f"prismlab: {_in_a_line(error)}", file=sys.stderr)
        return 2
    finally:
        sys.unraisablehook = sys.__unraisablehook__


def _of_a_bucket(error: Exception) -> bool:
    places = sys.modules.get("prismlab.core.io.filesystem")  # most commands never meet a bucket
    return places is not None and places.is_fault(error)


def _in_a_line(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return f"a bucket refused or is away ({reason}); see that you may read and write there, then try again"


def _without_echoes(note: Any) -> None:
    # After one failed write, TensorStore tells the closed loop of each of its other writes, traceback and
    # all; the failure itself is told by Checkpoints.
    if str(note.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(note)


def found() -> Iterator[Any]:
    """Yield the module of each command."""
    modules = [
        importlib.import_module(f"{commands.__name__}.{each.name}")
        for each in pkgutil.iter_modules(commands.__path__)
    ]
    place = {name: index for index, name in enumerate(FIRST)}
    named = [module for module in modules if hasattr(module, "NAME")]
    yield from sorted(named, key=lambda module: (place.get(module.NAME, len(FIRST)), module.NAME))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prismlab", description="VideoPrism, trainable: ablations by gin file."
    )
    places = {"": parser.add_subparsers(required=True, metavar="COMMAND")}
    for module in found():
        group, _, name = module.NAME.rpartition(" ")
        if group not in places:
            added = places[""].add_parser(group, help=f"commands about {group}; see prismlab {group} --help")
            places[group] = added.add_subparsers(required=True, metavar="COMMAND")
        added = places[group].add_parser(name, help=module.HELP, description=module.HELP)
        added.set_defaults(run=module.run)
        module.arguments(added)
    return parser


if __name__ == "__main__":
    sys.exit(main())
