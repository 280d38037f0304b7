"""Configuration of experiments: the frozen dataclasses Stage, Experiment and Ablation.

gin files bind `recipe.Stage`, `recipe.Experiment` and `recipe.Ablation`; Python code can construct them
directly. Training is implemented in `engine`.
"""

import dataclasses
import difflib
import functools
import inspect
import types as types_module
import typing
from collections.abc import Callable, Mapping
from typing import Any

from prismlab.core import errors, keys, types
from prismlab.core.train import loop, objective, optim
from prismlab.data.loader import loader
from prismlab.experiments import look_levels
from prismlab.experiments.gin_strict import check_types
from prismlab.experiments.recipe import monitor_interface, resources, row_checks, task_interface
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
            `what` is a path such as "stage2.objectives" or "stage1.steps". {} is the base itself.
        seeds: every row is run once with each seed.
        compare_with: labels of rows that all others are compared with, seed by seed. These comparisons are
            exploratory: an interval without p or verdict.
        claims: (row, against, metric) of each comparison that the ablation is run for. They share an error of
            5 % and get a verdict.
        matters: the smallest difference of interest, > 0, in units of the metrics.
        looks: numbers of seeds at which the claims are judged, such as (3, 6), if more seeds are run after a
            look at fewer; () for one look.
        co_train: train rows of equal data, teacher, seed and steps together, in one program for up to six of
            them: the batches are decoded and the teacher is run once. It needs memory for all of them.
            Addresses, folders and bits are those of single runs (checked at the first steps; otherwise, or
            with --launcher, rows train alone).
    """

    name: str
    base: Experiment
    rows: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...] = (0,)
    compare_with: tuple[str, ...] = ()
    claims: tuple[tuple[str, str, str], ...] = ()
    matters: float = 0.02
    looks: tuple[int, ...] = ()
    co_train: bool = False

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
        row_checks.check_rows(self.base, self.rows, self.experiments())
        row_checks.check_claims(
            self.claims, {label: each.tasks for label, each in self.experiments().items()}
        )

    def experiments(self) -> dict[str, Experiment]:
        """Return the experiment of each row, by label.

        Raises:
            UserError: a row refers to a stage or a field that the base lacks.
        """
        return {label: row(self.base, label, changes) for label, changes in self.rows.items()}


def _fit(value: Any) -> None:
    """Check the fields of a new instance against their annotations; convert int to float where asked for."""
    for name, item in check_types.changed_fields(value, f"recipe.{type(value).__name__}").items():
        object.__setattr__(value, name, item)


def row(base: Experiment, label: str, changes: Mapping[str, Any]) -> Experiment:
    """Return the base experiment with a row's changes applied.

    Args:
        base: the experiment to change.
        label: the row, for messages.
        changes: see Ablation.rows.

    Raises:
        UserError: a change refers to something that the base lacks.
    """
    where = f"recipe.Ablation.rows[{label!r}]"
    stages = {stage.name: stage for stage in base.stages}
    fields: dict[str, Any] = {}
    chosen = list(stages)
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        if path == "stages":
            chosen = list(value)
            unknown = [name for name in chosen if name not in stages]
            if unknown:
                raise errors.UserError(
                    f"{where}: no stage is named {unknown[0]!r}; the stages are {list(stages)}"
                )
        elif head in stages and rest:
            stages[head] = _replace(stages[head], rest.split("."), value, f"{where}: {path!r}", Stage)
        elif path == "tasks":
            fields["tasks"] = value
        else:
            raise errors.UserError(
                f"{where}: {path!r} cannot be changed; use 'stages', 'tasks' or '<stage>.<field>' "
                f"with a stage of {list(stages)}"
            )
    idle = [path for path in changes if (head := path.partition(".")[0]) in stages and head not in chosen]
    if idle:
        raise errors.UserError(
            f"{where}: {idle[0]!r} has no effect, because the row's stages are {chosen}; remove it or "
            "add the stage"
        )
    return dataclasses.replace(base, stages=tuple(stages[name] for name in chosen), **fields)


def _replace(value: Any, path: list[str], new: Any, where: str, hint: Any) -> Any:
    """Return a copy of plain data with the part at a path replaced; `hint` is the annotation of the value."""
    if not path:
        return check_types.fitted(new, hint, where)
    name, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        if rest and name not in value:
            raise errors.UserError(f"{where}: no entry is named {name!r}; the entries are {sorted(value)}")
        return {**value, name: _replace(value.get(name), rest, new, where, _of_items(hint))}
    if isinstance(value, functools.partial):
        known = _parameters(value.func)
        if known is not None and name not in known:
            raise errors.UserError(f"{where}: {value.func.__name__} has no {name!r}; {_near(name, known)}")
        inner = check_types.annotations(value.func).get(name, Any)
        changed = {**value.keywords, name: _replace(value.keywords.get(name), rest, new, where, inner)}
        return functools.partial(value.func, *value.args, **changed)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        if name not in names:
            raise errors.UserError(
                f"{where}: {type(value).__name__} has no field {name!r}; {_near(name, names)}"
            )
        inner = check_types.annotations(type(value)).get(name, Any)
        changed = {name: _replace(getattr(value, name), rest, new, where, inner)}
        try:
            return dataclasses.replace(value, **changed)
        except (ValueError, TypeError) as error:
            raise type(error)(error if where in str(error) else f"{where}: {error}") from None
    raise errors.UserError(f"{where}: {name!r} cannot be set on {value!r}")


def _of_items(hint: Any) -> Any:
    """Return the annotation of a mapping's values, also where the mapping is one of several types."""
    several = typing.get_origin(hint) in (typing.Union, types_module.UnionType)
    for member in typing.get_args(hint) if several else (hint,):
        if typing.get_origin(member) in (dict, Mapping):
            return typing.get_args(member)[1]
    return Any


def _parameters(function: Callable) -> list[str] | None:
    """Return the parameter names of a constructor; None if it has `**kwargs`."""
    found = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in found):
        return None
    return [each.name for each in found]


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 3)
    return f"did you mean {' or '.join(close)}?" if close else f"it has {known}"
