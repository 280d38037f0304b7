"""Change the batch size or rematerialization policy of a stage, for planning."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prismlab.core.train import learner
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.checks import shapes

# From most to least rematerialization; "none" saves all activations.
REMATS = ("nothing_saveable", "dots_with_no_batch_dims_saveable", "dots_saveable", "none")
NOTHING_TWICE = ("dots_saveable", "none")  # policies that compute no matrix product again


def varied(stage: recipe.Stage, batch_size: int | None = None, remat: str | None = None) -> recipe.Stage:
    """Return a stage with a different batch size, or a different remat policy in all towers and objectives.

    Args:
        stage: the configuration.
        batch_size: global batch in clips; None keeps the configured one.
        remat: a name of prismlab.core.nn.transformer_stack.REMAT_POLICIES; None keeps the configured
            policy.
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


def remat_of(stage: recipe.Stage) -> str | None:
    """Return the remat policy of the video tower; None if its constructor has no remat argument."""
    return next(_policies(stage.towers["video"]), None)


def _parts(make: Callable) -> dict[str, Any]:
    """Return name -> value of the bound and default arguments of a constructor."""
    signature = inspect.signature(make)  # excludes positional arguments bound by a partial
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
    """Return a constructor with a different remat policy, also in nested constructors."""
    parts = _parts(make)
    changed = {name: _with_remat(part, remat) for name, part in parts.items() if _is_constructor(part)}
    changed = {name: part for name, part in changed.items() if part is not parts[name]}
    if "remat" in parts:
        changed["remat"] = remat
    return functools.partial(make, **changed) if changed else make


def rebuilt(stage: recipe.Stage, built: Mapping[str, learner.Learner]) -> learner.Learner:
    """Return the abstract learner of a changed stage, given those of the earlier stages."""
    return shapes.abstract_learner(stage, dict(built))
