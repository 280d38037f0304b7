"""Shared by `check`, `train` and `ablate`: gin file, bindings, work directory, and running a recipe."""

import argparse
import contextlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from prismlab.core import address_space, errors
from prismlab.experiments import exits, standard_streams
from prismlab.experiments.commands import path_arguments

if TYPE_CHECKING:
    from prismlab.core.io import filesystem
    from prismlab.experiments.gin_strict import strict


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the gin file and its bindings."""
    parser.add_argument("file", metavar="FILE.gin", help="gin file, or the name of a shipped one")
    parser.add_argument(
        "bindings", nargs="*", metavar="BINDING", help="gin binding, such as recipe.Stage.steps=10"
    )


def workdir(parser: argparse.ArgumentParser) -> None:
    """Add the work directory."""
    parser.add_argument(
        "--workdir",
        required=True,
        type=path_arguments.path,
        help="work directory for results: a directory or gs://bucket/folder",
    )
    store(parser)


def store(parser: argparse.ArgumentParser) -> None:
    """Add the store."""
    parser.add_argument(
        "--store",
        type=path_arguments.path,
        metavar="STORE",
        help="directory or gs://bucket/folder of stages and scores that work directories and users share "
        "(default: that of the work directory, $PRISMLAB_STORE, or the work directory itself)",
    )


def accept_code(parser: argparse.ArgumentParser) -> None:
    """Add the stages whose change of code is accepted."""
    parser.add_argument(
        "--accept-code",
        action="append",
        default=[],
        metavar="STAGE",
        help="reuse the finished stage that differs from STAGE in code only: you know that the change does "
        "not matter. The table says so; may be repeated",
    )


def execute(
    workdir: "filesystem.Path",
    shared: "filesystem.Path | None",
    loaded: "strict.Loaded",
    rows: Mapping[str, Any],
    seeds: tuple[int, ...],
    accept: Sequence[str] = (),
    fail_fast: bool = False,
) -> int:
    """Train and evaluate every row with every seed, then print the table.

    Args:
        workdir: work directory; an existing one is resumed.
        shared: `--store`, or None.
        loaded: the recipe; its root is an Experiment or Ablation.
        rows: label -> experiment.
        seeds: every row is run with every seed.
        accept: stages whose change of code is accepted.
        fail_fast: whether the first row that fails ends the run.

    Returns:
        The exit code.
    """
    from prismlab.core.parallel import distributed
    from prismlab.experiments import console
    from prismlab.experiments.preview import accepted_code, explain
    from prismlab.experiments.recipe.addresses import fingerprints, stages
    from prismlab.experiments.run import engine, warm_up
    from prismlab.experiments.run import rows as table_rows
    from prismlab.experiments.store import store, views, work_directory

    def work() -> int:
        main, cache = distributed.is_main(), work_directory.default_cache()
        out = console.make_console() if main else console.silent()
        kept = store.choose(workdir, shared)
        accepted = accepted_code.Accepted(accept, kept)
        prints = fingerprints.Fingerprints(cache, accepted)
        planned = stages.lines(rows, seeds, prints)
        accepted.check(planned)
        with contextlib.ExitStack() as held:
            distributed.decide(
                lambda: held.enter_context(work_directory.claimed(workdir, loaded.root, loaded.text))
            )
            distributed.decide(lambda: views.register(kept, views.ROWS, views.of_lines(planned, kept)))
            for line in distributed.decide(lambda: explain.text(planned, kept, prints.unstated)):
                console.say(out, line)
            if not distributed.decide(lambda: explain.is_finished(planned, kept)):
                distributed.decide(lambda: warm_up.everything(rows, cache, out))
                if not main:  # each host fills its own cache unless it is shared
                    warm_up.everything(rows, cache, out)
            runner = engine.Engine(workdir, cache, out, prints, kept, loaded)
            ended = table_rows.run(runner, planned, fail_fast, getattr(loaded.root, "co_train", False))
            if main and ended.done:
                table_rows.tabulate(kept, planned, loaded, cache, out, not ended.failed)
            if main:
                for each in ended.failed:
                    console.tell(f"{each.told}: {each.error}")
        return ended.code

    return together(loaded.root, work)


def reuse(
    workdir: "filesystem.Path",
    shared: "filesystem.Path | None",
    loaded: "strict.Loaded",
    rows: Mapping[str, Any],
    seeds: tuple[int, ...],
) -> bool:
    """Print the table of a finished run of which nothing has changed, without what training needs.

    Args:
        workdir, shared, loaded, rows, seeds: see `execute`.

    Returns:
        Whether that was so; else nothing was done.
    """
    from prismlab.core.io import filesystem
    from prismlab.core.parallel import rendezvous
    from prismlab.experiments import console
    from prismlab.experiments.preview import explain
    from prismlab.experiments.recipe.addresses import fingerprints, stages
    from prismlab.experiments.report import terminal_table
    from prismlab.experiments.store import reported, store, views, work_directory

    if filesystem.is_remote(workdir) or not (workdir / reported.FILE).exists():
        return False
    if rendezvous.wanted(os.environ) is not None:  # processes of one run decide together
        return False
    cache = work_directory.default_cache()
    prints = fingerprints.Fingerprints(cache)
    planned, kept = stages.lines(rows, seeds, prints), store.choose(workdir, shared)
    if not explain.is_finished(planned, kept):
        return False
    table = reported.current(kept, planned, loaded.root, loaded.text, cache)
    if table is None:
        return False
    out = console.make_console()
    with work_directory.claimed(workdir, loaded.root, loaded.text):
        views.register(kept, views.ROWS, views.of_lines(planned, kept), exact=True)
        for line in explain.text(planned, kept, prints.unstated):
            console.say(out, line)
        terminal_table.print_table(table, out)
        console.say(out, f"unchanged: {workdir / 'table.json'}, report.md, report.html")
    return True


def together(root: Any, work: Callable[[], int]) -> int:
    """Join the other processes of this run, do the work, and exit together with them.

    Args:
        root: the Experiment or Ablation, the same in all processes.
        work: function to run; returns the exit code.

    Returns:
        The exit code, exits.INTERRUPTED or exits.DIVERGED if `work` was stopped.

    Raises:
        UserError: the processes were started with different configurations; errors of `work`.
    """
    from prismlab.core.events import stop_signal
    from prismlab.core.parallel import distributed, rendezvous
    from prismlab.core.train.loops import loop
    from prismlab.experiments import console
    from prismlab.experiments.run import compilation_cache, transfer_guard
    from prismlab.experiments.store import host_agreement, work_directory

    transfer_guard.check()
    rendezvous.start(lost_here)
    address_space.check()
    compilation_cache.enable(work_directory.default_cache())
    distributed.check_same(lambda: host_agreement.facts(root))
    try:
        with stop_signal.Handlers(stop_here), distributed.watched(lost_here) as beat:
            try:
                return work()
            except loop.Lost as stopped:
                lost_here(beat.failure() or str(stopped))
            except (loop.Interrupted, loop.Diverged, KeyboardInterrupt):
                raise  # raised in all processes
            except Exception as error:
                if not beat.fail(" ".join(str(error).split())[:300]):
                    failed_here(error)
                raise
    except loop.Interrupted as stopped:
        console.tell(stopped)
        return exits.INTERRUPTED
    except KeyboardInterrupt:  # a second Ctrl-C does not wait for the checkpoint
        console.tell("stopped without saving; run the same command to continue")
        return exits.INTERRUPTED
    except loop.Diverged as stopped:
        console.tell(f"{stopped}; the last good checkpoint was kept")
        return exits.DIVERGED


def lost_here(reason: str) -> NoReturn:
    """Exit because another process of this run was lost; a clean shutdown would wait for it."""
    from prismlab.experiments import console

    advice = "restart all processes with the same command to resume from the last checkpoint"
    standard_streams.tell(f"{console.escaped(reason)}; {advice}")
    _leave(exits.INTERRUPTED)


def failed_here(error: Exception) -> NoReturn:
    """Exit because of an error in this process only; a clean shutdown would wait for the others."""
    from prismlab.experiments import console

    code = 1
    if isinstance(error, errors.UserError):
        console.tell(error)
        code = 2
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    _leave(code)


def stop_here(number: int, frame: object) -> None:
    """Exit on a signal, with one line and the exit code."""
    # Outside the training loop (rendering, compiling, evaluating) nothing needs saving, and files are written
    # atomically. An exception could be swallowed by a callback, so the process exits here.
    standard_streams.tell("stopped; saved results are kept, run the same command to continue")
    _leave(exits.INTERRUPTED)


def _leave(code: int) -> NoReturn:
    for worker in multiprocessing.active_children():
        worker.terminate()
    os._exit(code)
