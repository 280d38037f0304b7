"""What `check`, `train` and `ablate` share: a gin file with bindings, and running what it describes."""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import signal
import sys
from collections.abc import Mapping
from typing import Any

DIVERGED, INTERRUPTED = 4, 75


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the gin file and its bindings."""
    parser.add_argument("file", metavar="FILE.gin", help="a gin file, or the name of a shipped one")
    parser.add_argument("bindings", nargs="*", metavar="BINDING", help="such as recipe.Stage.steps=10")


def workdir(parser: argparse.ArgumentParser) -> None:
    """Name the directory that results go to."""
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="where results go")


def execute(
    workdir: pathlib.Path,
    root: Any,
    text: str,
    rows: Mapping[str, Any],
    seeds: tuple[int, ...],
    compare_with: tuple[str, ...],
) -> int:
    """Train and score every row with every seed, then print the table.

    Args:
        workdir: where results go, or where an earlier run left off.
        root: the Experiment or Ablation.
        text: the configuration as flat gin.
        rows: label -> experiment.
        seeds: each row is run with each.
        compare_with: labels of rows that the others are compared with.

    Returns:
        The exit code.
    """
    from core import distributed, loop
    from experiments import console, engine, gather, prepare, report, sameness, storage

    distributed.start(lost_here)
    distributed.check_same(lambda: sameness.facts(root))
    main, cache = distributed.is_main(), storage.default_cache()
    out = console.make_console() if main else console.silent()
    before = {number: signal.signal(number, stop_here) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.ExitStack() as held:
            held.enter_context(distributed.watched(lost_here))
            distributed.decide(lambda: held.enter_context(storage.claimed(workdir, root, text)))
            distributed.decide(lambda: prepare.everything(rows, cache, out))
            if not main:  # where the cache is not shared, this host makes its own
                prepare.everything(rows, cache, out)
            engine.Engine(workdir, cache, out).run(rows, seeds)
            table = gather.tables(workdir, title=root.name, reference=compare_with) if main else None
    except loop.Lost as stopped:
        lost_here(str(stopped))
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
    if table is None:
        return 0
    report.print_table(table, out)
    console.say(out, f"written: {workdir / 'table.json'}, report.md, report.html")
    return 0


def lost_here(reason: str) -> None:
    """End the process because another of this run is gone: an orderly end would wait for that one."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    mend = "start all of them again with the same command to go on from the last checkpoint"
    os.write(2, f"prismlab: {reason}; {mend}\n".encode())
    os._exit(INTERRUPTED)


def stop_here(number: int, frame: object) -> None:
    """End the process on a signal, with one line and its exit code."""
    # Where no loop waits for the signal (rendering, compiling, judging) nothing needs saving, and files are
    # whole or absent. An exception could come up inside a callback that swallows it, so the process ends.
    for worker in multiprocessing.active_children():
        worker.terminate()
    os.write(2, b"prismlab: stopped; what was saved is kept, run the same command to go on\n")
    os._exit(INTERRUPTED)
