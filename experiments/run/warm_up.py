"""Preparation before training: check every row by shape, render and open every data source."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import rich.console

from prismlab.core import errors
from prismlab.data import process_pool
from prismlab.data.loader import source
from prismlab.experiments import console
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.checks import check


def everything(
    rows: Mapping[str, recipe.Experiment],
    cache: pathlib.Path,
    out: rich.console.Console,
    *,
    beside: bool = False,
) -> None:
    """Check all rows and prepare the sources that they read.

    Args:
        rows: label -> experiment.
        cache: directory shared by runs.
        out: console for progress.
        beside: leave rendered clips that only tasks read to the first evaluation, which runs on a core of
            its own beside the first stages.

    Raises:
        UserError: a row is inconsistent, or a source is missing, empty or damaged.
    """
    for experiment in rows.values():
        check.abstract_stages(experiment)
    trained = of_stages(rows)
    judged = of_tasks(rows, trained)
    left = {name: each for name, each in judged.items() if beside and isinstance(each, source.Rendered)}
    found = {name: each for name, each in (trained | judged).items() if name not in left}
    for name, each in left.items():
        if not len(each.world):
            raise errors.UserError(f"source {name!r} is empty; add clips or remove it")
    workers = [each.workers for each in found.values() if isinstance(each, source.Rendered)]
    with process_pool.shared(max(workers, default=0)) if any(workers) else contextlib.nullcontext():
        for name, each in found.items():
            if isinstance(each, source.Rendered) and not each.packed(cache):
                with console.Progress(f"render {name}", len(each.world), console=out) as bar:
                    each.render(cache, lambda done, total: bar.update(done))
            if not len(each.open(cache)):
                raise errors.UserError(f"source {name!r} is empty; add clips or remove it")


def of_stages(rows: Mapping[str, recipe.Experiment]) -> dict[str, Any]:
    """Return each distinct source that stages read, keyed by a name for messages."""
    found: dict[str, Any] = {}
    for experiment in rows.values():
        for stage in experiment.stages:
            for name, each in stage.data.sources.items():
                if each not in found.values():
                    found[name if name not in found else f"{name} of {stage.name}"] = each
    return found


def of_tasks(rows: Mapping[str, recipe.Experiment], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return each distinct source that tasks read and that is not among the known ones, as `of_stages`."""
    found: dict[str, Any] = {}
    for experiment in rows.values():
        for name, task in experiment.tasks.items():
            if not dataclasses.is_dataclass(task):
                continue
            for field in dataclasses.fields(task):
                each = getattr(task, field.name)
                if hasattr(each, "open") and each not in [*known.values(), *found.values()]:
                    found[f"{name}'s {field.name}"] = each
    return found
