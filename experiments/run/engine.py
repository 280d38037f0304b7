"""Training engine: train each distinct stage once, evaluate it, and resume after an interruption.

A stage is identified by its address: a hash of all that decides its result (`stages.Planned.inputs`). Rows
with equal addresses share one training run, and a stage whose address is in the store is reused.

    workdir/config.json                      the configuration of the last run
    workdir/results.json                     label, seed and scores of each finished row of the last run
    store/stages/<name>-s<seed>-<address>/   checkpoints/ events.jsonl tensorboard/ stage.json done.json
                                             attempts.json config.gin certificate.json
    store/scores/<address>.json              one evaluation of one stage: its inputs and metrics
    store/scores/<address>.certificate       what they were made of

The store (`store`) is the work directory itself, or one that is shared.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import rich.console
from jax.sharding import Mesh

from prismlab.core import trees
from prismlab.core.io import checked_json, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train import learner, moving_average
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.core.train.loops import loop
from prismlab.core.train.steps import step
from prismlab.experiments import console
from prismlab.experiments.certificate import attempts, certify, step_digests
from prismlab.experiments.cost import flops_memory
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.preview import accepted_code
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, initial_weights, stage_configuration, stages
from prismlab.experiments.released import released_weights
from prismlab.experiments.run import (
    feed,
    host_memory,
    initial_state,
    monitoring,
    shared_batches,
    stage_log,
    stage_record,
    stage_start,
)
from prismlab.experiments.statistics import results_table
from prismlab.experiments.store import installed, store, views, work_directory


class Engine:
    """Trains and evaluates planned stages, each once.

    Args:
        workdir: a work directory locked with `work_directory.claimed`.
        cache: directory shared by runs.
        out: console for progress.
        prints: fingerprints of code and data of this run; None takes them now.
        kept: where stages and evaluations are; None is the store of the work directory.
        loaded: the recipe as it was read, for the certificates; None leaves it out of them.
    """

    def __init__(
        self, workdir: filesystem.Path, cache: pathlib.Path, out: rich.console.Console,
        prints: fingerprints.Fingerprints | None = None, kept: store.Store | None = None,
        loaded: strict.Loaded | None = None,
    ):  # fmt: skip
        self.workdir, self.cache, self.out, self.loaded = workdir, cache, out, loaded
        self.prints = prints or fingerprints.Fingerprints(cache)
        self.kept = kept or store.of(workdir)

    def _folder(self, which: stages.Planned | filesystem.Path) -> filesystem.Path:
        if isinstance(which, filesystem.Path):
            return which
        return self.kept.stage_folder(which.address, which.folder)

    def towers(self, planned: stages.Planned) -> learner.Towers:
        """Return the trained towers of a stage from its last checkpoint."""
        return self._towers(planned.stage, planned.seed, planned, f"stage {planned.stage.name!r}")

    def _teacher(self, planned: stages.Planned) -> learner.Towers | None:
        """Return the frozen teacher towers; those of checkpoints alone are built like the stage's own."""
        if planned.teacher is None:
            return None
        if isinstance(planned.teacher, stages.Planned):
            return self.towers(planned.teacher)
        if isinstance(planned.teacher, released_weights.Released):
            return planned.teacher.towers()
        like = stage_configuration.if_known(planned.teacher) or planned.stage
        return self._towers(like, planned.seed, planned.teacher, f"teacher {planned.teacher}")

    def _towers(
        self, like: recipe.Stage, seed: int, which: stages.Planned | filesystem.Path, what: str
    ) -> learner.Towers:
        """Build the towers of a stage and load the last checkpoint of a stage or folder into them."""
        _, arrays = stage_folder.read(self._folder(which))
        return initial_state.towers(like, seed, arrays, what)

    def _first_weights(self, planned: stages.Planned) -> Any:
        """Return path -> array of `init_from`, or None."""
        if not isinstance(planned.init_from, Mapping):
            return None if planned.init_from is None else self._arrays(planned.init_from)
        read: dict[str, Any] = {}  # each parent once
        parts = {}
        for path, parent in planned.init_from.items():
            name = str(parent if isinstance(parent, released_weights.Released) else self._folder(parent))
            if name not in read:
                read[name] = self._arrays(parent)
            parts[path] = read[name]
        return initial_weights.merged(parts)

    def _arrays(self, parent: Any) -> Any:
        if isinstance(parent, released_weights.Released):
            return parent.arrays()
        return stage_folder.read(self._folder(parent))[1]

    def turn(self, planned: stages.Planned) -> contextlib.AbstractContextManager[None]:
        """Return the lease on a stage that is not finished, as a context manager."""
        if stage_folder.left_of(self._folder(planned)) is None:
            return contextlib.nullcontext()
        return self.kept.turn(planned.address)

    def train(self, planned: stages.Planned, among: shared_batches.Among | None = None) -> None:
        """Train a stage to its last step, resuming from its last checkpoint if there is one.

        The caller holds the lease on the stage (`leases`), so that no other process trains it.

        Args:
            planned: the stage.
            among: its part in a group of rows that train together (`co_trained`), or None.

        Raises:
            UserError: an input is missing or does not match the configuration.
            loop.Diverged: the loss was not finite.
            loop.Interrupted: a signal was received; the state is saved.
        """
        stage, folder = planned.stage, self._folder(planned)
        heading = f"{stage.name} (seed {planned.seed})"
        left = distributed.decide(lambda: stage_folder.left_of(folder))
        if left is None:
            console.say(self.out, f"{heading}: already trained, reused")
            return
        if left:
            console.say(self.out, f"{heading}: {left}")
        self.prints.check(stages.data_of(stage), planned.inputs["data"], heading)
        counts = flops_memory.place(planned, self.prints)
        begun = self.begin(planned, stage.run.layout.make(), among)
        devices, training, state = begun.devices, begun.training, begun.state
        stream = begun.stream if among is None else among.stream(begun.stream)
        source = initial_weights.text(stage.init_from)
        origin = f"initialised {begun.taken} of {len(trees.flatten(begun.built))} arrays from {source}"
        checkpoints = checkpoint.Checkpoints(folder / "checkpoints")
        try:
            if checkpoints.latest() is not None:
                with contextlib.nullcontext() if among is None else among.member.group.files:
                    state, _ = checkpoints.restore(state, devices, stage.run.rules)
                origin = f"resumed at step {int(state.step)}"
            at = int(state.step)
            facts = stage_record.facts(planned, begun, self.workdir)
            work_directory.record(folder / "stage.json", facts)
            certify.write_recipe(folder, self.loaded)
            console.say(self.out, f"{heading}: {origin if begun.taken or at else 'randomly initialised'}")
            with (
                attempts.attempt(folder, at, stage.steps, rows=1 if among is None else among.rows),
                stage_log.open_log(folder, at) as log,
                console.Progress(heading, stage.steps, start=at, console=self.out, first="compiling") as bar,
            ):
                fed = feed.batches(
                    stream, at, folder, log, max_bad_share=stage.data.max_bad_share,
                    every=stage.run.checkpoint_every, host=jax.process_index(),
                    say=lambda line: console.say(self.out, f"{heading}: {line}"),
                )  # fmt: skip
                fed = step_digests.batches(fed, at, log, every=stage.run.log_every, steps=stage.steps)
                watching = monitoring.Monitoring(
                    stage.monitors, begun.built, training.teacher, devices, self.cache, checkpoints, log,
                    lambda line: console.say(self.out, f"{heading}: {line}"),
                    folder / "events.jsonl", at,
                )  # fmt: skip
                state = loop.run(
                    state, loop.batches_of(fed), training, stage.run, checkpoints, log,
                    meta=stage_record.meta(planned),
                    show=lambda r: bar.update(r.step, r.loss, r.clips_per_second, r.data_wait),
                    watch=functools.partial(
                        _watch, watching, step_digests.Parameters(log, stage), stage.encoder
                    ),
                    member=None if among is None else among.member,
                )  # fmt: skip
        except loop.Lost:
            raise  # closing would wait for the lost process
        except BaseException:
            checkpoints.close()
            raise
        checkpoints.close()
        finished = stage_folder.Finished(stage.steps, host_memory.digest_of(state.learner))
        worked = flops_memory.counted(planned, training.flops, counts)
        certify.stage(folder, stage, facts, finished, self.loaded, worked)
        work_directory.record(folder / stage_folder.DONE, dataclasses.asdict(finished))

    def begin(
        self, planned: stages.Planned, devices: Mesh, among: shared_batches.Among | None = None
    ) -> stage_start.Start:
        """Return the start of a stage on a mesh; its parents are trained.

        Raises:
            UserError: an input is missing or does not match the configuration.
        """
        with host_memory.on_host():
            taught = functools.partial(self._teacher, planned)
            teacher = taught() if among is None else among.member.group.once("towers", taught)
            first = self._first_weights(planned)
        return stage_start.prepare(planned, devices, self.cache, teacher, first)

    def score(self, planned: stages.Planned, evaluations: Sequence[stages.Evaluation]) -> dict[str, Any]:
        """Run each evaluation of a trained stage, or reuse its scores; return {metric: plain score}."""
        scores: dict[str, Any] = {}
        towers = None
        for each in evaluations:
            path = self.kept.score_path(each.address)
            if not path.exists():
                with self.kept.turn(f"score-{each.address}"):
                    if not path.exists():  # another process may have been at it
                        towers = towers or self.towers(planned)
                        self._evaluate(planned, each, towers)
            read = {
                metric: _plain(score, results_table.Items(each.address, metric))
                for metric, score in results_table.read_scores(path).items()
            }
            # Tasks may share a metric name (two probes, for example); prefix the later one with its task.
            scores |= {
                (f"{each.name}: {metric}" if metric in scores else metric): read[metric] for metric in read
            }
        return scores

    def _evaluate(self, planned: stages.Planned, each: stages.Evaluation, towers: learner.Towers) -> None:
        heading = f"{planned.stage.name} (seed {planned.seed}): {each.name}"
        self.prints.check(each.task, each.inputs["data"], heading)
        console.say(self.out, heading)
        timed = attempts.Timed()
        found = each.task(towers, seed=planned.seed, cache=self.cache)
        written = {
            "name": each.name, "stage": planned.stage.name, "seed": planned.seed,
            "metrics": {metric: dataclasses.asdict(score) for metric, score in found.items()},
            "versions": installed.versions(), "writer": views.writer(self.workdir),
            "inputs": dict(each.inputs),
        }  # fmt: skip
        work_directory.save_scores(self.kept, each.address, written)
        certify.score(self.kept.score_path(each.address), written, each.address, timed.attempt(), self.loaded)

    def entry(self, line: stages.Line, metrics: Mapping[str, Any]) -> Any:
        """Return the entry of results.json of a finished row and seed; process 0 notes accepted code."""
        if distributed.is_main():
            accepted_code.note(line.stages, self.kept)
        folders = [self._folder(planned).name for planned in line.stages]
        accepted = {accepted_code.FIELD: accepted_code.files(line.stages)}
        entry = {"label": line.label, "seed": line.seed, "metrics": metrics, "stages": folders}
        return checked_json.sealed(entry | accepted)


def _watch(
    watching: monitoring.Monitoring,
    digests: step_digests.Parameters,
    encoder: str | None,
    done: int,
    now: step.TrainState,
) -> None:
    watching(done, moving_average.read(now.learner.towers, now.learner.objectives, encoder))
    digests(done, now.learner)


def _plain(score: results_table.Score, items: results_table.Items) -> dict[str, Any]:
    """Return a score as plain data, with the place of its outcomes of single items instead of these."""
    return dataclasses.asdict(dataclasses.replace(score, outcomes=None, items=items))
