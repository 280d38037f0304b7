"""Variants of a stage that a plan may try: another batch size, another rematerialization policy."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prismlab.core.train import learner
from prismlab.experiments.recipe import recipe, shapes

# From most to least recomputation; "none" keeps everything.
REMATS = ("nothing_saveable", "dots_with_no_batch_dims_saveable", "dots_saveable", "none")


def varied(stage: recipe.Stage, batch_size: int | None = None, remat: str | None = None) -> recipe.Stage:
    """Return a stage with another batch or another remat policy everywhere.

    Args:
        stage: the configuration.
        batch_size: clips, or None as configured.
        remat: a name of prismlab.core.nn.transformer_stack.REMAT_POLICIES, or None as configured.
    """
    if batch_size is not None:
        stage = dataclasses.replace(stage, batch_size=batch_size)
    if remat is not None:
        stage = dataclasses.replace(
            stage,
            towers={name: _with_remat(make, remat) for name, make in stage.towers.items()},
            objectives={name: _with_remat(make, remat) for name, make in stage.objectives.items()},
        )
    return stage


def remat_of(stage: recipe.Stage) -> str:
    """Return the remat policy of the video tower."""
    found = next(_policies(stage.towers["video"]), None)
    assert found is not None, "the constructor of the video tower takes no remat policy"
    return found


def _parts(make: Callable) -> dict[str, Any]:
    """Return the arguments of a constructor that are set, by name, defaults included."""
    signature = inspect.signature(make)  # of a partial: without what it binds by position
    given = dict(make.keywords) if isinstance(make, functools.partial) else {}
    defaults = {
        name: each.default for name, each in signature.parameters.items() if each.default is not each.empty
    }
    return {name: given.get(name, default) for name, default in (defaults | given).items()}


def _is_constructor(value: Any) -> bool:
    return isinstance(value, functools.partial) or inspect.isclass(value)


def _policies(make: Callable) -> Iterator[str]:
    parts = _parts(make)
    if "remat" in parts:
        yield str(parts["remat"])
    for part in parts.values():
        if _is_constructor(part):
            yield from _policies(part)


def _with_remat(make: Any, remat: str) -> Any:
    """Return a constructor with another policy, in the constructors that it takes as well."""
    parts = _parts(make)
    changed = {name: _with_remat(part, remat) for name, part in parts.items() if _is_constructor(part)}
    changed = {name: part for name, part in changed.items() if part is not parts[name]}
    if "remat" in parts:
        changed["remat"] = remat
    return functools.partial(make, **changed) if changed else make


def rebuilt(stage: recipe.Stage, built: Mapping[str, learner.Learner]) -> learner.Learner:
    """Return the learner of a changed stage by shape, beside those of the stages before it."""
    return shapes.abstract_learner(stage, dict(built))
