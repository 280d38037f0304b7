"""Configuration of experiments: the frozen dataclasses Stage, Experiment and Ablation.

gin files bind `recipe.Stage`, `recipe.Experiment` and `recipe.Ablation`; Python code can construct them
directly. Training is implemented in `engine`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from prismlab.core import errors, keys, types
from prismlab.core.train import objective, optim
from prismlab.core.train.loops import loop
from prismlab.data.loader import loader
from prismlab.experiments import claim_parts, look_levels
from prismlab.experiments.gin_strict import check_types
from prismlab.experiments.recipe import (
    changes,
    matching_interface,
    monitor_interface,
    resources,
    row_checks,
    scales,
    task_interface,
)
from prismlab.experiments.released import released_weights

LONGEST_NAME = 100  # characters; a folder is named by the stage, its seed and its address


@dataclasses.dataclass(frozen=True)
class Stage:
    """Configuration of one run of the training loop.

    Args:
        name: unique in its experiment; decides no number.
        towers: name -> constructor (`@video.VideoTower`), called with `key`.
        objectives: name -> constructor (`@contrastive.Contrastive`), called with `dims` and `key`; may be
            empty if steps is 0.
        data: the loader.
        optimizer: optim.AdamW, optim.Adafactor, or one of your own with the members of optim.Optimizer.
        steps: optimizer steps; 0 gives the initial weights (the untrained baseline).
        batch_size: global batch size in clips.
        init_from: initial weights: name of an earlier stage, a stage's folder, or
            released_weights.Released; or a map of paths of this stage's parameters to one of these, such as
            {'towers/video/encoder': 'stage2', 'towers/text': 'stage1'} (`initial_weights`).
        teacher: frozen teacher towers: the name of an earlier stage, a stage's folder, or
            released_weights.Released.
        frozen: path prefixes of parameters that are not trained, such as "towers/video/encoder".
        run: checkpointing, logging, mesh and other runtime settings; they do not affect the result.
        accumulate: number of parts in which each batch is encoded sequentially; the same loss with less
            memory.
        monitors: name -> what is measured while the stage trains (`monitors.representation`, for example);
            they do not affect the result.
        reserve: what its training reserves of a machine (`--launcher`); it does not affect the result.
        encoder: what later stages, evaluations and monitors read as its towers: None for the trained ones, or
            the name of an objective with a moving average of them (`latent.LatentPrediction`).
    """

    name: str
    towers: Mapping[str, Callable[..., types.Tower]]
    objectives: Mapping[str, Callable[..., objective.AbstractObjective]]
    data: loader.Line
    optimizer: optim.Optimizer
    steps: int
    batch_size: int
    init_from: str | released_weights.Released | Mapping[str, str | released_weights.Released] | None = None
    teacher: str | released_weights.Released | None = None
    frozen: tuple[str, ...] = ()
    accumulate: int = 1
    run: loop.Settings = dataclasses.field(default_factory=loop.Settings)
    monitors: Mapping[str, monitor_interface.Monitor] = dataclasses.field(default_factory=dict)
    reserve: resources.Resources = dataclasses.field(default_factory=resources.Resources)
    encoder: str | None = None

    def __post_init__(self) -> None:
        _fit(self)
        for name, monitor in self.monitors.items():
            if isinstance(monitor, type) or not isinstance(monitor, monitor_interface.Monitor):
                raise errors.UserError(
                    f"recipe.Stage.monitors: {name!r} is no monitor: {monitor!r}; write a class with (), and "
                    "see monitor_interface.Monitor"
                )
        if self.steps < 0:
            raise errors.UserError(f"steps must be at least 0, got {self.steps}")
        for field in ("batch_size", "accumulate"):
            if getattr(self, field) < 1:
                raise errors.UserError(f"{field} must be at least 1, got {getattr(self, field)}")
        if isinstance(self.init_from, Mapping) and not self.init_from:
            raise errors.UserError("init_from is an empty map; name a parent for a path, or use None")
        if self.steps and not self.objectives:
            raise errors.UserError(f"stage {self.name!r} has no objectives")
        if not self.name or not set(self.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-"):
            raise errors.UserError(f"a stage name may only contain a-z, 0-9, _ and -, got {self.name!r}")
        if len(self.name) > LONGEST_NAME:
            raise errors.UserError(f"a stage name may have {LONGEST_NAME} characters, got {len(self.name)}")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Stages in training order, and the tasks that evaluate the last one.

    Args:
        name: shown in reports.
        stages: in training order.
        tasks: name -> evaluation of the last stage's towers.
        seed: seed of initial weights, clip order, masks and all other randomness.
        reserve: what the evaluation of the last stage reserves of a machine (`--launcher`); it does not
            affect the result.
    """

    name: str
    stages: tuple[Stage, ...]
    tasks: Mapping[str, task_interface.Task] = dataclasses.field(default_factory=dict)
    seed: int = 0
    reserve: resources.Resources = dataclasses.field(default_factory=resources.Resources)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        _fit(self)
        keys.check_seed(self.seed)
        names = [stage.name for stage in self.stages]
        if not names:
            raise errors.UserError("an experiment needs at least one stage")
        if len(set(names)) < len(names):
            raise errors.UserError(f"stages must have unique names, got {names}")
        for name, task in self.tasks.items():
            usable = dataclasses.is_dataclass(task) and isinstance(task, task_interface.Task)
            if not usable or isinstance(task, type):
                raise errors.UserError(
                    f"task {name!r}: expected a frozen dataclass with __call__(towers, *, seed, cache), got "
                    f"{task!r}; write a class with (), and see task_interface.Task"
                )


@dataclasses.dataclass(frozen=True)
class Ablation:
    """A base experiment and rows that each change a part of it.

    Args:
        name: shown in reports.
        base: the experiment that rows differ from.
        rows: label -> {what: value}. "stages" takes names of the base's stages, in order; any other
            `what` is a path such as "stage2.objectives" or "stage1.steps"; * is every stage or entry, as in
            "stage2.objectives.*.decoder.count". Steps may be set by the cost of another stage
            (`matching.Flops`). {} is the base itself.
        seeds: every row is run once with each seed.
        compare_with: labels of rows that all others are compared with, seed by seed. These comparisons are
            exploratory: an interval without p or verdict.
        claims: (row, against, metric) of each comparison that the ablation is run for. They share an error of
            5 % and get a verdict. Several labels as `against` make one claim: the row differs from all of
            them, in one direction (`claim_verdicts`).
        matters: the smallest difference of interest, > 0, in units of the metrics.
        looks: numbers of seeds at which the claims are judged, such as (3, 6), if more seeds are run after a
            look at fewer; () for one look.
        co_train: train rows of equal data, teacher, seed and steps together, in one program for up to six of
            them: the batches are decoded and the teacher is run once. It needs memory for all of them.
            Addresses, folders and bits are those of single runs (checked at the first steps; otherwise, or
            with --launcher, rows train alone).
        scales: name -> changes as in `rows`: every row is run at each, and compared with the rows of
            `compare_with` at the same one; claims name rows as 'ROW @ SCALE'. Of a row's and a scale's paths
            the longer wins, of equal ones the row's. The report shows each difference against compute; scales
            whose names agree after the first ", " are one line.
        run_scales: names of the scales to run; () for all.
    """

    name: str
    base: Experiment
    rows: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...] = (0,)
    compare_with: tuple[str, ...] = ()
    claims: tuple[claim_parts.Declared, ...] = ()
    matters: float = 0.02
    looks: tuple[int, ...] = ()
    co_train: bool = False
    scales: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    run_scales: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        _fit(self)
        if not self.rows or not self.seeds:
            raise errors.UserError("an ablation needs at least one row and one seed")
        for seed in self.seeds:
            keys.check_seed(seed)
        if len(set(self.seeds)) < len(self.seeds):
            raise errors.UserError(f"seeds must be unique, got {self.seeds}")
        unknown = [label for label in self.compare_with if label not in self.rows]
        if unknown:
            raise errors.UserError(f"compare_with has unknown rows {unknown}; the rows are {list(self.rows)}")
        if not 0 < self.matters < float("inf"):
            raise errors.UserError(f"recipe.Ablation.matters must be positive, got {self.matters}")
        look_levels.level(self.looks)
        # Raise errors in rows and claims here, not in the middle of a run.
        scales.check(self.base, self.rows, self.scales, self.run_scales, self._applied)
        row_checks.check_claims(
            self.claims, {label: each.experiment.tasks for label, each in self._applied.items()}
        )

    @functools.cached_property
    def _applied(self) -> dict[str, changes.Applied]:
        return scales.applied(self.base, self.rows, self.scales)

    def experiments(self) -> dict[str, Experiment]:
        """Return the experiment of each row, by label; 'ROW @ SCALE' if there are scales.

        Raises:
            UserError: a row refers to a stage or a field that the base lacks.
        """
        run = scales.labels(self.rows, self.run_scales or self.scales)
        return {label: each.experiment for label, each in self._applied.items() if label in run}

    def matches(self) -> dict[str, tuple[matching_interface.Match, ...]]:
        """Return label of a row -> stages whose steps were set by their cost, if it has any."""
        run = self.experiments()
        return {label: each.matches for label, each in self._applied.items() if each.matches and label in run}


def _fit(value: Any) -> None:
    """Check the fields of a new instance against their annotations; convert int to float where asked for."""
    for name, item in check_types.changed_fields(value, f"recipe.{type(value).__name__}").items():
        object.__setattr__(value, name, item)
