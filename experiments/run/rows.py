"""Train and evaluate every row of a run with every seed in this process, and write and print the table."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import rich.console

from prismlab.core import errors
from prismlab.core.io import buckets
from prismlab.core.parallel import distributed
from prismlab.core.train.loops import loop
from prismlab.experiments import console, exits
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.report import terminal_table
from prismlab.experiments.results import clip_pictures, gather
from prismlab.experiments.run import co_trained, engine
from prismlab.experiments.store import reported, store, views, work_directory

if TYPE_CHECKING:
    from prismlab.experiments.gin_strict import strict


@dataclasses.dataclass(frozen=True)
class Failed:
    """A stage or an evaluation that failed.

    Args:
        told: what failed, in words.
        error: why.
    """

    told: str
    error: errors.UserError | loop.Diverged


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Args:
        done: number of rows and seeds with results.
        failed: what failed.
    """

    done: int
    failed: tuple[Failed, ...]

    @property
    def code(self) -> int:
        """Exit code: that of what failed, the smallest of several."""
        codes = (
            exits.DIVERGED if isinstance(each.error, loop.Diverged) else exits.USER_ERROR
            for each in self.failed
        )
        return min(codes, default=exits.DONE)


def run(
    runner: engine.Engine, lines: Sequence[stages.Line], fail_fast: bool = False, co_train: bool = False
) -> Ended:
    """Train and evaluate every row with every seed; shared stages are trained once.

    A row that fails leaves the others as they are; results.json has those that are done.

    Args:
        runner: trains and evaluates.
        lines: rows and seeds, from `stages.lines` with the fingerprints of the engine.
        fail_fast: whether the first that fails ends the run.
        co_train: whether rows train together (`recipe.Ablation.co_train`).

    Raises:
        UserError, loop.Diverged: something failed in the only row, or with `fail_fast`; a UserError also in a
            run of several processes, where it may exist in this process only.
    """
    results: list[dict[str, Any]] = []
    failed: list[Failed] = []
    lost: set[str] = set()  # addresses of stages that failed
    together = co_trained.CoTraining(lines, runner) if co_train else None
    for each in lines:
        if lost & {planned.address for planned in each.stages}:
            continue
        at = None
        try:
            for at in each.stages:
                if together is not None:
                    together(at)
                with contextlib.ExitStack() as held:  # process 0 holds the lease, as in a worker
                    distributed.decide(functools.partial(held.enter_context, runner.turn(at)))
                    runner.train(at)
            at = None
            # Evaluations are cheap compared with training: process 0 runs them on its first device.
            judge = functools.partial(runner.score, each.stages[-1], each.evaluations)
            results.append(runner.entry(each, distributed.decide(judge)))
        except (errors.UserError, loop.Diverged) as error:
            if fail_fast or len(lines) == 1 or not _is_of_one_row(runner, error):
                raise
            told = f"{each.label!r}" if at is None else f"stage {at.stage.name}"
            failed.append(Failed(f"{told}, seed {each.seed}", error))
            lost |= {at.address} if at is not None else set()
            console.say(runner.out, f"{failed[-1].told}: {error}")
            continue
        work_directory.record(runner.workdir / "results.json", results)
    return Ended(len(results), tuple(failed))


def _is_of_one_row(runner: engine.Engine, error: Exception) -> bool:
    """Return whether other rows may still be run after an error."""
    if isinstance(error, loop.Diverged):
        return True  # raised in all processes
    gone = isinstance(error, buckets.Unreachable) or not runner.workdir.exists()
    return jax.process_count() == 1 and not gone


def tabulate(
    kept: store.Store,
    lines: Sequence[stages.Line],
    loaded: "strict.Loaded",
    cache: pathlib.Path,
    out: rich.console.Console,
    complete: bool,
) -> None:
    """Write the table and the pages of results.json, and print the table.

    Args:
        kept: the store of the work directory.
        lines: rows and seeds of the run.
        loaded: the recipe as it was read.
        cache: directory shared by runs.
        out: console for the table.
        complete: whether results.json has all rows and seeds.
    """
    say = functools.partial(console.say, out)
    table = gather.tables(kept.workdir, lambda found: clip_pictures.draw(found, lines, kept, cache, say))
    if complete:
        # The former table is replaced.
        views.register(kept, views.ROWS, views.of_lines(lines, kept), exact=True)
        reported.note(kept, lines, loaded.root, loaded.text, cache)
    terminal_table.print_table(table, out)
    say(f"written: {kept.workdir / 'table.json'}, report.md, report.html")
