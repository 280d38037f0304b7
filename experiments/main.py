"""Entry point of `prismlab`: discovers the commands in `experiments/commands/` and runs one.

Exit codes (`experiments/exits.py`): 0 done; 1 an error in prismlab (traceback); 2 user error, one line says
what to change; 3 done, but some of the user's files failed and are listed; 4 the loss was not finite; 75
interrupted and saved, run the same command to continue.
"""

import argparse
import errno
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core import allocator, errors, setup
from prismlab.experiments import commands, standard_streams, utf8_mode
from prismlab.experiments.commands import path_arguments

# Order in --help; other commands follow, sorted by name.
FIRST = ("check", "train", "ablate", "report", "digest", "world", "embed", "search")

# Errors of disks and open files; others, such as a broken pipe to a worker, are errors in prismlab.
_OF_A_DISK = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOENT,
    errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP, errno.ESTALE,
    errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run one command.

    Args:
        arguments: arguments after `prismlab`; None uses `sys.argv`.

    Returns:
        The exit code.
    """
    if arguments is None:
        utf8_mode.enter()
    with standard_streams.tolerant():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    allocator.keep_freed()
    sys.unraisablehook = _without_echoes
    try:
        options = _parse(arguments)
        setup.setup()  # after --help, which needs none of it and is answered sooner
        return options.run(options)
    except (errors.UserError, path_arguments.RefusedArgument) as error:
        _tell(error)
        return 2
    except Exception as error:
        line = _explained(error)
        if line is None:
            raise
        _tell(line)
        return 2
    finally:
        sys.unraisablehook = sys.__unraisablehook__


def _explained(error: Exception) -> object:
    """Return the line for an error of the disk, a bucket or a device; None for one in prismlab."""
    from prismlab.core.io import file_errors  # imported late: slow

    if _of_a_bucket(error):
        return _in_a_line(error)
    if _of_a_device(error):
        reason = " ".join(str(error).split())[:300] or f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS')}"
        return f"JAX cannot start its devices ({reason}); correct JAX_PLATFORMS, or install JAX for it"
    if isinstance(error, MemoryError):
        return "memory ran out; raise the limit of memory (ulimit -v), or reduce batch sizes and --jobs"
    found = file_errors.as_system_error(error)
    if found is None or found.errno not in _OF_A_DISK:
        return None
    if found.filename:
        return file_errors.as_user_error(found.filename, found)
    reason = " ".join(str(error).split())[:300]
    return f"a disk failed ({reason}); free some space, choose another path or fix its permissions"


def _tell(message: object) -> None:
    from prismlab.experiments import console  # imported late: rich is slow to import

    console.tell(message)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; bindings may also follow options, and may be written --gin.NAME=VALUE."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = _parser(words)
    options, rest = parser.parse_known_args(words)
    for word in rest:
        binding = word.removeprefix("--gin.")
        if not hasattr(options, "bindings") or "=" not in binding or binding.startswith("-"):
            parser.error(f"unrecognized argument: {word}")
        options.bindings.append(binding)
    return options


def _of_a_device(error: Exception) -> bool:
    """True for a platform that JAX cannot start; one without its plugin fails an assertion of JAX."""
    if isinstance(error, RuntimeError):
        return "Unable to initialize backend" in str(error)
    frames = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error, AssertionError) and bool(frames) and frames[-1].filename.endswith("xla_bridge.py")
    )


def _of_a_bucket(error: Exception) -> bool:
    buckets = sys.modules.get("prismlab.core.io.buckets")  # imported only by commands that use buckets
    return buckets is not None and buckets.is_fault(error)


def _in_a_line(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    return f"bucket unavailable or access denied ({reason}); check your permissions and try again"


def _without_echoes(note: Any) -> None:
    # After one failed write, TensorStore reports each of its other writes to the closed event loop, with a
    # traceback; Checkpoints reports the failure itself.
    if str(note.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(note)


def found(words: Sequence[str] = ()) -> Iterator[Any]:
    """Yield the module of the command that the arguments name, or of each command in the order of --help.

    Args:
        words: the arguments. The file of a command has its name, with _ for spaces and hyphens, so that a
            command imports no other one.
    """
    files = {
        each.name.rpartition(".")[2]: each.name
        for each in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}.")
    }
    for name in (" ".join(words[:2]), " ".join(words[:1])):
        file = files.get(name.replace(" ", "_").replace("-", "_"))
        if file and getattr(module := importlib.import_module(file), "NAME", None) == name:
            yield module
            return
    order = {name: index for index, name in enumerate(FIRST)}
    named = [each for each in map(importlib.import_module, files.values()) if hasattr(each, "NAME")]
    yield from sorted(named, key=lambda module: (order.get(module.NAME, len(FIRST)), module.NAME))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prismlab", description="Train and evaluate VideoPrism models; run ablations from gin files."
    )
    groups = {"": parser.add_subparsers(required=True, metavar="COMMAND")}
    for module in found(words):
        group, _, name = module.NAME.rpartition(" ")
        if group not in groups:
            added = groups[""].add_parser(group, help=f"{group} commands; see prismlab {group} --help")
            groups[group] = added.add_subparsers(required=True, metavar="COMMAND")
        added = groups[group].add_parser(name, help=module.HELP, description=module.HELP)
        added.set_defaults(run=module.run)
        module.arguments(added)
    return parser


if __name__ == "__main__":
    sys.exit(main())
