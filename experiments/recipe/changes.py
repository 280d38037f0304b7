"""Apply the changes of a row and of a scale to the base experiment of an ablation."""

import dataclasses
import difflib
import functools
import inspect
import types as types_module
import typing
from collections.abc import Callable, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.experiments.gin_strict import check_types
from prismlab.experiments.recipe import matching_interface

EVERY = "*"  # as a part of a path: every stage, or every entry of a dictionary


@dataclasses.dataclass(frozen=True)
class Applied:
    """An experiment with its changes.

    Args:
        experiment: a `recipe.Experiment`.
        matches: its stages whose steps were set by their cost.
    """

    experiment: Any
    matches: tuple[matching_interface.Match, ...] = ()


@dataclasses.dataclass(frozen=True)
class Scale:
    """One scale of an ablation: its name and what it changes."""

    name: str
    changes: Mapping[str, Any]


def row(base: Any, label: str, changes: Mapping[str, Any]) -> Any:
    """Return the base experiment with a row's changes; see `apply`."""
    return apply(base, label, changes).experiment


def apply(base: Any, label: str, changes: Mapping[str, Any], scale: Scale | None = None) -> Applied:
    """Return the base experiment with the changes of a row and of a scale.

    Args:
        base: the `recipe.Experiment` to change.
        label: the row, for messages.
        changes: see `recipe.Ablation.rows`.
        scale: see `recipe.Ablation.scales`. Longer paths are applied later; of equal ones the row's is.

    Raises:
        UserError: a change refers to something that the base lacks.
    """
    own = f"recipe.Ablation.rows[{label!r}]"
    given = (
        {path: (value, f"recipe.Ablation.scales[{scale.name!r}]") for path, value in scale.changes.items()}
        if scale
        else {}
    )
    given |= {path: (value, own) for path, value in changes.items()}
    stages = {stage.name: stage for stage in base.stages}
    fields: dict[str, Any] = {}
    chosen = list(stages)
    matched: dict[str, tuple[matching_interface.Matching, str]] = {}
    for path in sorted(given, key=lambda each: each.count(".")):
        value, where = given[path]
        head, _, rest = path.partition(".")
        if path == "stages":
            chosen = list(value)
            unknown = [name for name in chosen if name not in stages]
            if unknown:
                raise errors.UserError(
                    f"{where}: no stage is named {unknown[0]!r}; the stages are {list(stages)}"
                )
        elif (head in stages or head == EVERY) and rest:
            for name in stages if head == EVERY else (head,):
                if rest == "steps" and isinstance(value, matching_interface.Matching):
                    matched[name] = value, f"{where}: {path!r}"
                    continue
                stages[name] = _replace(
                    stages[name], rest.split("."), value, f"{where}: {path!r}", type(stages[name])
                )
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
            f"{own}: {idle[0]!r} has no effect, because the row's stages are {chosen}; remove it or "
            "add the stage"
        )
    matches = {name: _match(stages, name, *each, matched) for name, each in matched.items() if name in chosen}
    for name, match in matches.items():
        stages[name] = dataclasses.replace(stages[name], steps=match.steps)
    changed = dataclasses.replace(base, stages=tuple(stages[name] for name in chosen), **fields)
    return Applied(changed, tuple(matches.values()))


def _match(
    stages: Mapping[str, Any],
    name: str,
    matching: matching_interface.Matching,
    where: str,
    matched: Mapping[str, Any],
) -> matching_interface.Match:
    others = [each for each in stages if each != name]
    if matching.stage not in others:
        raise errors.UserError(
            f"{where}: it is matched with the stage {matching.stage!r}, but the others are {others}; "
            f"set {type(matching).__name__}.stage to one of them"
        )
    if matching.stage in matched or not stages[matching.stage].steps:
        why = "is matched itself" if matching.stage in matched else "has 0 steps"
        raise errors.UserError(
            f"{where}: it is matched with the stage {matching.stage!r}, which {why}; name another"
        )
    return matching.match(stages[name], stages[matching.stage], stages)


def _replace(value: Any, path: list[str], new: Any, where: str, hint: Any) -> Any:
    """Return a copy of plain data with the part at a path replaced; `hint` is the annotation of the value."""
    if not path:
        return check_types.fitted(new, hint, where)
    name, rest = path[0], path[1:]
    if isinstance(value, Mapping) and name == EVERY:
        inner = _of_items(hint)
        return {each: _replace(value[each], rest, new, f"{where}, entry {each!r}", inner) for each in value}
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
