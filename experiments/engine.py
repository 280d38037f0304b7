"""Runs recipes: identical stages once, whatever rows ask for them; everything is found again after a kill.

A stage is addressed by its resolved configuration, its seed and the addresses of the stages it starts
from or learns from. Two rows with equal addresses share one training run.

    workdir/config.json                      what this directory holds, refused if another is run
    workdir/stages/<name>-s<seed>-<address>/ checkpoints/ events.jsonl tensorboard/ stage.json done.json
    workdir/scores/<address>.json            one evaluation of one stage
    workdir/results.json                     label, seed and scores of every row finished so far
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import rich.console

from core import checkpoint, errors, events, files, keys, learner, loop, mesh, names, step
from experiments import console, describe, recipe, storage

# Fields that change how a stage is watched or where its arrays lie, never what it computes.
BOOKKEEPING = ("checkpoint_every", "log_every", "layout", "rules")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of one experiment and seed, with everything that decides its result.

    Args:
        stage: the configuration.
        seed: the experiment's seed.
        address: 16 hex digits that stand for the result.
        init_from: the stage whose weights it starts from: planned here, or a folder.
        teacher: the stage whose towers are the teacher: planned here, or a folder.
    """

    stage: recipe.Stage
    seed: int
    address: str
    init_from: "Planned | pathlib.Path | None"
    teacher: "Planned | pathlib.Path | None"

    @property
    def folder(self) -> str:
        """Name of its directory under workdir/stages."""
        return f"{self.stage.name}-s{self.seed}-{self.address}"


def plan(experiment: recipe.Experiment, seed: int) -> list[Planned]:
    """Resolve the stages of an experiment, in order.

    Raises:
        UserError: a stage starts from or learns from something that is not there.
    """
    planned: dict[str, Planned] = {}
    for stage in experiment.stages:
        parents = {
            field: _parent(getattr(stage, field), f"stage {stage.name!r}: {field}", planned)
            for field in ("init_from", "teacher")
        }
        tree = describe.describe(stage)
        tree = {name: value for name, value in tree.items() if name not in BOOKKEEPING}
        tree |= {field: _identity(parent) for field, parent in parents.items()}
        planned[stage.name] = Planned(stage, seed, describe.address([tree, seed]), **parents)
    return list(planned.values())


def _parent(name: str | None, where: str, planned: Mapping[str, Planned]) -> Planned | pathlib.Path | None:
    if name is None:
        return None
    if name in planned:
        return planned[name]
    folder = pathlib.Path(name).expanduser()
    if checkpoint.newest(folder / "checkpoints") is None:
        raise errors.UserError(
            f"{where}={name!r} is neither an earlier stage of this experiment {list(planned)} nor a folder "
            "with finished checkpoints"
        )
    return folder


def _identity(parent: Planned | pathlib.Path | None) -> str | None:
    if isinstance(parent, pathlib.Path):
        return names.digest(checkpoint.read_learner(parent / "checkpoints")[1])
    return parent.address if parent else None


class Engine:
    """Trains planned stages and scores them, each once.

    Args:
        workdir: a claimed work directory.
        cache: directory shared by runs.
        out: where progress is shown.
    """

    def __init__(self, workdir: pathlib.Path, cache: pathlib.Path, out: rich.console.Console):
        self.workdir, self.cache, self.out = workdir, cache, out

    def _folder(self, which: Planned | pathlib.Path) -> pathlib.Path:
        return which if isinstance(which, pathlib.Path) else self.workdir / "stages" / which.folder

    def towers(self, planned: Planned) -> learner.Towers:
        """Return the trained towers of a stage, read from its last checkpoint."""
        return self._towers(planned, planned, f"stage {planned.stage.name!r}")

    def _teacher(self, planned: Planned) -> learner.Towers | None:
        """Return the frozen teacher: towers built like the stage's own, or like the teacher stage's."""
        if planned.teacher is None:
            return None
        if isinstance(planned.teacher, Planned):
            return self.towers(planned.teacher)
        return self._towers(planned, planned.teacher, f"teacher {planned.teacher}")

    def _towers(self, like: Planned, which: Planned | pathlib.Path, what: str) -> learner.Towers:
        """Build towers as a stage does and fill them from the last checkpoint of a stage or folder."""
        _, arrays = checkpoint.read_learner(self._folder(which) / "checkpoints")
        key = keys.seeded(like.seed, "init")
        built = {name: make(key=keys.fold(key, "tower", name)) for name, make in like.stage.towers.items()}
        return checkpoint.adopt({"towers": built}, arrays, what)[0]["towers"]

    def train(self, planned: Planned) -> None:
        """Train a stage to its end, going on from its last checkpoint if there is one.

        Raises:
            UserError: something it needs is missing or does not fit.
            loop.Diverged: the loss was not finite.
            loop.Interrupted: a signal came; the state is on disk.
        """
        stage, folder = planned.stage, self._folder(planned)
        if (folder / "done.json").exists():
            console.say(self.out, f"{stage.name} (seed {planned.seed}): done before, reused")
            return
        mesh.check_batch(stage.batch_size, stage.layout.make())
        stream = stage.data.open(stage.batch_size, stage.steps, planned.seed, stage.name, self.cache)
        optimizer = stage.optimizer.build(stage.steps)
        teacher = self._teacher(planned)
        built = learner.build(stage.towers, stage.objectives, teacher, key=keys.seeded(planned.seed, "init"))
        check_vocabulary(built, stream.vocabulary)
        origin = ""
        if planned.init_from is not None:
            source = self._folder(planned.init_from)
            _, arrays = checkpoint.read_learner(source / "checkpoints")
            built, taken = checkpoint.adopt(built, arrays, f"init_from {stage.init_from!r}")
            origin = f"initialised {taken} of {len(names.flatten(built))} arrays from {stage.init_from}"
        state = step.init(built, optimizer, stage.frozen, key=keys.seeded(planned.seed, "train", stage.name))
        checkpoints = checkpoint.Checkpoints(folder / "checkpoints")
        try:
            if checkpoints.latest() is not None:
                state, _ = checkpoints.restore(state)
                origin = f"resumed at step {int(state.step)}"
            at = int(state.step)
            files.write_atomic(folder / "stage.json", storage.json_bytes(self._facts(planned, built, stream)))
            heading = f"{stage.name} (seed {planned.seed})"
            console.say(self.out, f"{heading}: {origin or 'initial weights drawn'}")
            mirror = events.TensorBoard(folder / "tensorboard", resume_step=at)
            with (
                events.EventLog(folder / "events.jsonl", resume_step=at, tensorboard=mirror) as log,
                console.Progress(heading, stage.steps, start=at, console=self.out) as bar,
            ):
                state = loop.run(
                    state, loop.batches_of(stream.read(at)), teacher, optimizer,
                    stage.optimizer.schedule.build(stage.steps),
                    steps=stage.steps, frozen=stage.frozen, checkpoints=checkpoints, log=log,
                    meta={"address": planned.address, "stage": stage.name, "seed": planned.seed},
                    checkpoint_every=stage.checkpoint_every, log_every=stage.log_every,
                    layout=stage.layout, rules=stage.rules,
                    show=lambda r: bar.update(r.step, r.loss, r.clips_per_second, r.data_wait),
                )  # fmt: skip
        finally:
            checkpoints.close()
        files.write_atomic(
            folder / "done.json",
            storage.json_bytes({"step": stage.steps, "digest": digest_of(state.learner)}),
        )

    def _facts(self, planned: Planned, built: learner.Learner, stream: Any) -> dict[str, Any]:
        return {
            "name": planned.stage.name,
            "seed": planned.seed,
            "address": planned.address,
            "parameters": names.count(built),
            "clips": stream.clips,
            "devices": [str(device.device_kind) for device in jax.devices()],
            "jax": jax.__version__,
        }

    def score(self, planned: Planned, tasks: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate a trained stage with each task, each once; return {metric: score as plain data}."""
        scores: dict[str, Any] = {}
        towers = None
        for name, each in tasks.items():
            address = describe.address([planned.address, describe.describe(each)])
            path = self.workdir / "scores" / f"{address}.json"
            if not path.exists():
                towers = towers or self.towers(planned)
                console.say(self.out, f"{planned.stage.name} (seed {planned.seed}): {name}")
                found = each(towers, seed=planned.seed, cache=self.cache)
                files.write_atomic(
                    path, storage.json_bytes({metric: dataclasses.asdict(s) for metric, s in found.items()})
                )
            read = storage.read_json(path)
            # Two tasks may measure by one name, such as two probes; the later one says whose it is.
            scores |= {(f"{name}: {metric}" if metric in scores else metric): read[metric] for metric in read}
        return scores

    def run(self, rows: Mapping[str, recipe.Experiment], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
        """Train and score every row with every seed; shared stages are trained once.

        Args:
            rows: label -> experiment.
            seeds: each row is run with each.

        Returns:
            One entry a row and seed: label, seed, metrics, stages (folder names).
        """
        planned = {(label, seed): plan(each, seed) for seed in seeds for label, each in rows.items()}
        results: list[dict[str, Any]] = []
        for (label, seed), stages in planned.items():
            for each in stages:
                self.train(each)
            entry = {"label": label, "seed": seed, "metrics": self.score(stages[-1], rows[label].tasks)}
            results.append({**entry, "stages": [each.folder for each in stages]})
            files.write_atomic(self.workdir / "results.json", storage.json_bytes(results))
        return results


def check_vocabulary(built: learner.Learner, vocabulary: int) -> None:
    """Refuse a text tower whose embedding table is smaller than the tokenizer's vocabulary.

    Raises:
        UserError: with both numbers.
    """
    if "text" in built.towers and built.towers["text"].vocabulary < vocabulary:
        raise errors.UserError(
            f"text.TextTower.vocabulary={built.towers['text'].vocabulary} is smaller than the tokenizer's "
            f"{vocabulary} pieces; raise it or lower tokenizer.Tokenizer.vocabulary"
        )


def digest_of(tree: learner.Learner) -> str:
    """Return the sha256 of a learner's parameters."""
    return names.digest({name: jax.device_get(leaf) for name, leaf in names.flatten(tree).items()})
