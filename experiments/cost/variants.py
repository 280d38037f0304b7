"""Variants of a stage that a plan may try: another batch size, another rematerialization policy."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
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
            stage, towers=_with_remat(stage.towers, remat), objectives=_with_remat(stage.objectives, remat)
        )
    return stage


def remat_of(stage: recipe.Stage) -> str:
    """Return the remat policy of the video tower."""
    tower = stage.towers["video"]
    if isinstance(tower, functools.partial) and "remat" in tower.keywords:
        return str(tower.keywords["remat"])
    return str(inspect.signature(tower).parameters["remat"].default)


def _with_remat(parts: Mapping[str, Any], remat: str) -> dict[str, Any]:
    takes = lambda part: "remat" in inspect.signature(part).parameters
    return {
        name: functools.partial(part, remat=remat) if takes(part) else part for name, part in parts.items()
    }


def rebuilt(stage: recipe.Stage, built: Mapping[str, learner.Learner]) -> learner.Learner:
    """Return the learner of a changed stage by shape, beside those of the stages before it."""
    return shapes.abstract_learner(stage, dict(built))
