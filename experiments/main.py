"""The command `prismlab`: check, train, ablate, report, digest, world.

Exit codes: 0 done; 1 a defect of ours (traceback); 2 a mistake that the message says how to mend;
4 the loss was not finite; 75 interrupted and saved, run the same command to go on.
"""

import argparse
import errno
import multiprocessing
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from core import errors

DIVERGED, INTERRUPTED = 4, 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after `prismlab`; None reads the process's own.

    Returns:
        The exit code.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on the machine are no news to a user
    options = _parser().parse_args(arguments)
    sys.unraisablehook = _without_echoes
    try:
        return options.run(options)
    except errors.UserError as error:
        for line in str(error).splitlines():
            print(f"prismlab: {line}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = f"the disk is full ({error.filename}); free some space, run the command again"
        elif isinstance(error, PermissionError | FileExistsError | NotADirectoryError | IsADirectoryError):
            told = f"{error.filename}: {error.strerror}; give another place or mend this one"
        else:
            raise
        print(f"prismlab: {told}", file=sys.stderr)
        return 2
    finally:
        sys.unraisablehook = sys.__unraisablehook__


def _without_echoes(note: Any) -> None:
    # After one failed write, TensorStore tells the closed loop of each of its other writes, traceback and
    # all; the failure itself is told by Checkpoints.
    if str(note.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(note)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prismlab", description="VideoPrism, trainable: ablations by gin file."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    for name, run, text in (
        ("check", _check, "parse, lint and build a gin file by shape only; train nothing"),
        ("train", _train, "run the Experiment of a gin file, or go on with it"),
        ("ablate", _ablate, "run the Ablation of a gin file, or go on with it, and print its table"),
    ):
        added = command(name, run, text)
        added.add_argument("file", metavar="FILE.gin", help="a gin file, or the name of a shipped one")
        added.add_argument("bindings", nargs="*", metavar="BINDING", help="such as recipe.Stage.steps=10")
        if name != "check":
            added.add_argument("--workdir", required=True, type=pathlib.Path, help="where results go")
    for name, run, text in (
        ("report", _report, "rebuild table.json, report.md and report.html of a work directory"),
        ("digest", _digest, "print name, step and sha256 of the parameters of every saved stage"),
    ):
        command(name, run, text).add_argument("directory", type=pathlib.Path, metavar="DIR")
    added = command("world", _world, "render clips of the video world as MP4 files with captions and truth")
    added.add_argument("directory", type=pathlib.Path, metavar="DIR")
    added.add_argument("--clips", type=int, required=True, help="how many")
    added.add_argument("--seed", type=int, default=0)
    return parser


def _check(options: argparse.Namespace) -> int:
    from experiments import check, console, strict

    loaded = strict.load(options.file, options.bindings)
    check.show(loaded.root, console.make_console())
    return 0


def _train(options: argparse.Namespace) -> int:
    from experiments import recipe, strict

    loaded = strict.load(options.file, options.bindings)
    if not isinstance(loaded.root, recipe.Experiment):
        raise errors.UserError(
            f"{options.file} holds an Ablation; use: prismlab ablate {options.file} --workdir DIR"
        )
    rows = {loaded.root.name: loaded.root}
    return _run(options.workdir, loaded.root, loaded.text, rows, (loaded.root.seed,), ())


def _ablate(options: argparse.Namespace) -> int:
    from experiments import recipe, strict

    loaded = strict.load(options.file, options.bindings)
    if not isinstance(loaded.root, recipe.Ablation):
        raise errors.UserError(
            f"{options.file} holds an Experiment; use: prismlab train {options.file} --workdir DIR"
        )
    root = loaded.root
    return _run(options.workdir, root, loaded.text, root.experiments(), root.seeds, root.compare_with)


def _run(
    workdir: pathlib.Path, root, text: str, rows, seeds: tuple[int, ...], compare_with: tuple[str, ...]
) -> int:
    from core import loop
    from experiments import console, engine, gather, prepare, report, storage

    out = console.make_console()
    before = {number: signal.signal(number, _stop_here) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with storage.claimed(workdir, root, text):
            prepare.everything(rows, storage.default_cache(), out)
            runner = engine.Engine(workdir, storage.default_cache(), out)
            runner.run(rows, seeds)
            table = gather.tables(workdir, title=root.name, reference=compare_with)
    except loop.Interrupted as stopped:
        print(f"prismlab: {stopped}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:  # a second Ctrl-C, which does not wait for the save
        print("prismlab: stopped without saving; run the same command to go on", file=sys.stderr)
        return INTERRUPTED
    except loop.Diverged as stopped:
        print(f"prismlab: {stopped}; the last good checkpoint was kept", file=sys.stderr)
        return DIVERGED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    report.print_table(table, out)
    console.say(out, f"written: {workdir / 'table.json'}, report.md, report.html")
    return 0


def _stop_here(number: int, frame: object) -> None:
    # Where no loop waits for the signal (rendering, compiling, judging) nothing needs saving, and files are
    # whole or absent. An exception could come up inside a callback that swallows it, so the process ends.
    for worker in multiprocessing.active_children():
        worker.terminate()
    os.write(2, b"prismlab: stopped; what was saved is kept, run the same command to go on\n")
    os._exit(INTERRUPTED)


def _report(options: argparse.Namespace) -> int:
    from experiments import console, gather, report

    out = console.make_console()
    report.print_table(gather.again(options.directory), out)
    console.say(out, f"written: {options.directory / 'table.json'}, report.md, report.html")
    return 0


def _digest(options: argparse.Namespace) -> int:
    from experiments import storage

    for name, at, digest in storage.digests(options.directory):
        print(name, at, digest)
    return 0


def _world(options: argparse.Namespace) -> int:
    from data import render, world
    from experiments import console

    if options.clips < 1:
        raise errors.UserError(f"--clips must be at least 1, got {options.clips}")
    out = console.make_console()
    with console.Progress("render", options.clips, console=out) as bar:
        described = world.World(clips=options.clips, seed=options.seed)
        render.render(described, options.directory, progress=lambda done, total: bar.update(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
