"""Resolve the stages and evaluations of an experiment: what each is made of, its address and its folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from prismlab.core import errors, trees
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.experiments.recipe import describe, recipe, task_interface
from prismlab.experiments.recipe.addresses import fingerprints, initial_weights, stage_names
from prismlab.experiments.released import released_weights

# Initial weights or teacher of a stage: a stage planned here, a stage's folder, or released weights.
Parent: TypeAlias = "Planned | filesystem.Path | released_weights.Released | None"
# One of them, or one for each path of the stage's parameters (`initial_weights`).
Parents: TypeAlias = "Parent | Mapping[str, Parent]"
PARENTS = ("init_from", "teacher")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of one experiment and seed, with its resolved dependencies.

    Args:
        stage: the configuration.
        seed: the experiment's seed.
        position: number of stages before it in its chain of initial weights. Order of the clips, crops,
            augmentation and masks depend on the seed and on this, so that rows whose stages have other names
            are paired.
        address: 16 hex digits that identify the result: the hash of `inputs`.
        init_from: source of the initial weights, or path -> source.
        teacher: source of the teacher towers.
        inputs: plain data that decides the result: "configuration", "seed", "position", "parents", "code"
            (module -> hash), "data" (path -> digest of its content) and "settings" of JAX.
        accepted: modules that have changed since the stage was trained, which the user accepted
            (`--accept-code`); `inputs` are those that it was trained with.
    """

    stage: recipe.Stage
    seed: int
    position: int
    address: str
    init_from: Parents
    teacher: Parent
    inputs: Mapping[str, Any]
    accepted: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of its directory under workdir/stages."""
        return f"{self.stage.name}-s{self.seed}-{self.address}"

    @property
    def parents(self) -> list["Planned"]:
        """Stages planned here that must be done first."""
        given = [*initial_weights.parents(self.init_from), self.teacher]
        found = {each.address: each for each in given if isinstance(each, Planned)}
        return list(found.values())


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One task on one planned stage.

    Args:
        name: the task's name in the experiment; not part of the address.
        task: the configuration.
        address: 16 hex digits that identify the scores: the hash of `inputs`.
        inputs: plain data that decides the scores, as in `Planned`.
    """

    name: str
    task: task_interface.Task
    address: str
    inputs: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name in the graph of a run (`ablate --dry-run`)."""
        return f"{self.name}-{self.address}"


def plan(
    experiment: recipe.Experiment, seed: int, prints: fingerprints.Fingerprints | None = None
) -> list[Planned]:
    """Resolve the stages of an experiment, in order.

    Args:
        experiment: the experiment.
        seed: its seed.
        prints: fingerprints of this run; None leaves sources out (see `fingerprints.Fingerprints`).

    Raises:
        UserError: `init_from` or `teacher` of a stage does not exist, or data is missing.
    """
    prints = prints or fingerprints.Fingerprints(None)
    planned: dict[str, Planned] = {}
    for stage in experiment.stages:
        init_from = _parents(stage.init_from, f"stage {stage.name!r}: init_from", planned)
        teacher = _parent(stage.teacher, f"stage {stage.name!r}: teacher", planned)
        parents = {**initial_weights.labelled("init_from", init_from), "teacher": teacher}
        position = _position(init_from)
        inputs: Mapping[str, Any] = _inputs(stage, seed, position, parents, prints)
        inputs, accepted = prints.accept(stage.name, inputs) or (inputs, [])
        planned[stage.name] = Planned(
            stage, seed, position, describe.address(inputs), init_from, teacher, inputs, tuple(accepted)
        )
    return list(planned.values())


def evaluations(
    planned: Planned,
    tasks: Mapping[str, task_interface.Task],
    prints: fingerprints.Fingerprints | None = None,
) -> list[Evaluation]:
    """Resolve the tasks that evaluate a planned stage, in order.

    Args:
        planned: the stage.
        tasks: name -> task.
        prints: see `plan`.

    Raises:
        UserError: data of a task is missing.
    """
    prints = prints or fingerprints.Fingerprints(None)
    found = []
    for name, given in tasks.items():
        task = task_interface.for_encoder(given, planned.stage.data.tokenizer)
        inputs = {
            "configuration": describe.addressed(describe.describe(task)),
            "parents": {"stage": planned.address},
            "code": prints.code(task, fingerprints.EVALUATING),
            "data": prints.data(task),
            "settings": fingerprints.settings(),
        }
        found.append(Evaluation(name, task, describe.address(inputs), inputs))
    return found


@dataclasses.dataclass(frozen=True)
class Line:
    """One row with one seed: its stages in order, and the evaluations of the last one."""

    label: str
    seed: int
    stages: tuple[Planned, ...]
    evaluations: tuple[Evaluation, ...]


def lines(
    rows: Mapping[str, recipe.Experiment],
    seeds: Sequence[int],
    prints: fingerprints.Fingerprints | None = None,
) -> list[Line]:
    """Resolve every row with every seed, seed by seed.

    Args:
        rows: label -> experiment.
        seeds: seeds to run each row with.
        prints: see `plan`.

    Raises:
        UserError: see `plan`.
    """
    prints = prints or fingerprints.Fingerprints(None)
    found = []
    for seed in seeds:
        for label, experiment in rows.items():
            planned = plan(experiment, seed, prints)
            judged = evaluations(planned[-1], experiment.tasks, prints)
            found.append(Line(label, seed, tuple(planned), tuple(judged)))
    return found


def data_of(stage: recipe.Stage) -> dict[str, Any]:
    """Return the parts of a stage whose data is in its address: path -> configured value."""
    skipped = {*describe.without_effect(type(stage)), *PARENTS}
    return {
        field.name: getattr(stage, field.name)
        for field in dataclasses.fields(stage)
        if field.name not in skipped
    }


def _inputs(
    stage: recipe.Stage, seed: int, position: int, parents: Mapping[str, Parent],
    prints: fingerprints.Fingerprints,
) -> dict[str, Any]:  # fmt: skip
    tree = describe.addressed(describe.describe(stage))
    released = tuple(each for each in parents.values() if isinstance(each, released_weights.Released))
    configured = data_of(stage)
    return {
        "configuration": {name: each for name, each in tree.items() if name not in PARENTS},
        "seed": seed,
        "position": position,
        "parents": {field: _identity(parent, prints) for field, parent in parents.items()},
        "code": prints.code((configured, released), fingerprints.TRAINING),
        "data": prints.data(configured),
        "settings": fingerprints.settings(),
    }


def _position(init_from: Parents) -> int:
    """Return the number of stages in the longest chain of initial weights."""
    before = 0
    for parent in initial_weights.parents(init_from):
        if isinstance(parent, Planned):
            before = max(before, parent.position + 1)
        elif isinstance(parent, filesystem.Path):  # a copy of the checkpoints alone does not say it
            facts = stage_folder.json_if_sound(parent / "stage.json") or {}
            before = max(before, facts.get("inputs", {}).get("position", 0) + 1)
    return before


def _parents(given: Any, where: str, planned: Mapping[str, Planned]) -> Parents:
    if isinstance(given, Mapping):
        return {path: _parent(name, f"{where}[{path!r}]", planned) for path, name in given.items()}
    return _parent(given, where, planned)


def _parent(
    name: str | released_weights.Released | None, where: str, planned: Mapping[str, Planned]
) -> Parent:
    if name is None or isinstance(name, released_weights.Released):
        return name
    if name in planned:
        return planned[name]
    folder = filesystem.check_reachable(filesystem.parse_path(name))
    if not filesystem.is_remote(folder) and not folder.exists():
        folder = stage_names.find(name, f"{where}:") or folder
    if checkpoint.newest(folder / "checkpoints") is None:
        raise errors.UserError(
            f"{where}={name!r} is neither an earlier stage of this experiment {list(planned)} nor a "
            "stage with finished checkpoints (WORKDIR/stages/NAME, or WORKDIR/NAME)"
        )
    return folder


def _identity(parent: Parent, prints: fingerprints.Fingerprints) -> Any:
    """Return what identifies the weights of a parent; large ones are read once a run."""
    if parent is None or isinstance(parent, Planned):
        return parent.address if parent else None
    known = prints.parents
    key = repr(parent)
    if isinstance(parent, released_weights.Released):
        if key not in known:
            known[key] = parent.digest()
        # The arrays do not hold all sizes of a model (its heads, for example).
        return {
            "model": describe.describe(released_weights.configuration(parent.model)),
            "weights": known[key],
        }
    if key not in known:
        known[key] = trees.digest(stage_folder.read(parent)[1])
    return known[key]
