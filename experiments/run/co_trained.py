"""Train rows of an ablation together that share seed, data and teacher (`recipe.Ablation.co_train`).

Every row keeps its address and its folder: they are trained as they would be alone, with one decoding of the
batches and one pass of the teacher. Whether the bits are those of single runs is checked at the first steps
of each kind of group, and kept in the cache. What cannot be trained together is trained alone.
"""

import contextlib
import json
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import jax

from prismlab.core.events import stop_signal
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.core.train.loops import co_training, loop
from prismlab.experiments import console
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import compilation_cache, engine, shared_batches

MOST = 6  # rows of one program; the time to compile grows with each


class CoTraining:
    """Trains stages together before their turn comes, each group once.

    Args (constructor):
        lines: rows and seeds of the run.
        runner: the engine.
    """

    def __init__(self, lines: Sequence[stages.Line], runner: engine.Engine):
        self._all = {each.address: each for line in lines for each in line.stages}
        self._runner = runner
        self._tried: set[str] = set()

    def __call__(self, at: stages.Planned) -> None:
        """Train the rows that may train together with a stage whose parents are trained, and the stage.

        Raises:
            loop.Interrupted: a signal was received; the states are saved.
        """
        if jax.process_count() > 1:
            return
        at = self._all.get(at.address, at)
        rows = [each for each in self._all.values() if each.address not in self._tried]
        rows = [each for each in rows if _may(each) and _kind(each) == _kind(at)]
        rows = [each for each in rows if not _is_finished(each, self._runner)]
        rows = [each for each in rows if all(_is_finished(parent, self._runner) for parent in each.parents)]
        rows = [each for each in rows if _step(each, self._runner) == _step(at, self._runner)]
        if len(rows) < 2 or not any(each is at for each in rows):
            return
        rows = [at, *(each for each in rows if each is not at)][:MOST]
        self._tried |= {each.address for each in rows}
        train(rows, self._runner)


def _is_finished(planned: stages.Planned, runner: engine.Engine) -> bool:
    return stage_folder.left_of(_folder(planned, runner)) is None


def train(rows: Sequence[stages.Planned], runner: engine.Engine) -> None:
    """Train rows together as far as that is possible; what is left is for `Engine.train`.

    Args:
        rows: stages that may train together, with trained parents.
        runner: the engine.

    Raises:
        loop.Interrupted: a signal was received; the states are saved.
    """
    with contextlib.ExitStack() as held:
        for each in sorted(rows, key=lambda each: each.address):  # one order in all processes
            held.enter_context(runner.turn(each))
        rows = [each for each in rows if not _is_finished(each, runner)]
        verdict = _verdict_file(rows, runner.cache)
        known = stage_folder.json_if_sound(verdict) or {}
        if len(rows) < 2 or len({_step(each, runner) for each in rows}) > 1:
            return
        names = f"{', '.join(each.stage.name for each in rows)} (seed {rows[0].seed})"
        if known.get("equal") is False:
            told = "have other bits together than alone on this device, so they train one after another"
            console.say(runner.out, f"{names}: {told}")
            return
        console.say(runner.out, f"{names}: {len(rows)} rows train together")
        with stop_signal.StopSignal() as stop:
            checked = 0 if known.get("equal") else co_training.CHECKED
            group = co_training.Group(len(rows), checked, lambda: stop.came)
            stopped = _run(rows, runner, group)
        if group.equal is not None and not known:
            filesystem.write_atomic(verdict, json.dumps({"equal": group.equal}).encode())
            bits = "the bits of single runs" if group.equal else "other bits, so they continue alone"
            told = f"after {co_training.CHECKED} steps they have {bits}"
            console.say(runner.out, f"{names}: {told}")
        for each, error in zip(rows, stopped, strict=True):
            if isinstance(error, loop.Interrupted | KeyboardInterrupt):
                raise error
            if error is not None:
                console.say(runner.out, f"{each.stage.name} (seed {each.seed}): left the others: {error}")


def _run(
    rows: Sequence[stages.Planned], runner: engine.Engine, group: co_training.Group
) -> list[BaseException | None]:
    """Train each row in a thread; return what each raised."""
    batches = shared_batches.Batches(len(rows))
    stopped: list[BaseException | None] = [None] * len(rows)

    def one(index: int) -> None:
        among = shared_batches.Among(group.member(index), batches, len(rows))
        # One row shows the progress of all.
        out = runner.out if index == 0 else console.silent()
        own = engine.Engine(runner.workdir, runner.cache, out, runner.prints, runner.kept, runner.loaded)
        try:
            own.train(rows[index], among)
        except BaseException as error:
            stopped[index] = error
        finally:
            among.leave()

    threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in range(len(rows))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()  # signals are handled meanwhile
    return stopped


def _may(planned: stages.Planned) -> bool:
    return planned.stage.steps > 0 and planned.stage.accumulate == 1


def _kind(planned: stages.Planned) -> str:
    """Return what rows must have in common."""
    stage = planned.stage
    return repr([
        planned.seed, planned.position, stage.batch_size, stage.steps, planned.inputs["parents"]["teacher"],
        planned.inputs["data"], describe.describe(stage.data), stage.run, planned.inputs["settings"],
    ])  # fmt: skip


def _folder(planned: stages.Planned, runner: engine.Engine) -> filesystem.Path:
    return runner.kept.stage_folder(planned.address, planned.folder)


def _step(planned: stages.Planned, runner: engine.Engine) -> int | None:
    return checkpoint.newest(_folder(planned, runner) / "checkpoints")


def _verdict_file(rows: Sequence[stages.Planned], cache: pathlib.Path) -> pathlib.Path:
    """Return the file that says whether such rows have the bits of single runs on this machine."""
    made: list[Any] = [
        {key: each.inputs[key] for key in ("configuration", "code", "settings")} for each in rows
    ]
    devices = [device.device_kind for device in jax.devices()]
    key = describe.address([made, devices, compilation_cache.machine()])
    return cache / "co_trained" / f"{key}.json"
