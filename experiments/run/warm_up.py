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


def everything(rows: Mapping[str, recipe.Experiment], cache: pathlib.Path, out: rich.console.Console) -> None:
    """Check all rows and prepare the sources that they read.

    Args:
        rows: label -> experiment.
        cache: directory shared by runs.
        out: console for progress.

    Raises:
        UserError: a row is inconsistent, or a source is missing, empty or damaged.
    """
    for experiment in rows.values():
        check.abstract_stages(experiment)
    found = sources(rows)
    workers = [each.workers for each in found.values() if isinstance(each, source.Rendered)]
    with process_pool.shared(max(workers, default=0)) if any(workers) else contextlib.nullcontext():
        for name, each in found.items():
            if isinstance(each, source.Rendered) and not each.packed(cache):
                with console.Progress(f"render {name}", len(each.world), console=out) as bar:
                    each.render(cache, lambda done, total: bar.update(done))
            if not len(each.open(cache)):
                raise errors.UserError(f"source {name!r} is empty; add clips or remove it")


def sources(rows: Mapping[str, recipe.Experiment]) -> dict[str, Any]:
    """Return each distinct source that stages and tasks read, keyed by a name for messages."""
    found: dict[str, Any] = {}
    for experiment in rows.values():
        for stage in experiment.stages:
            for name, each in stage.data.sources.items():
                if each not in found.values():
                    found[name if name not in found else f"{name} of {stage.name}"] = each
        for name, task in experiment.tasks.items():
            if not dataclasses.is_dataclass(task):
                continue
            for field in dataclasses.fields(task):
                each = getattr(task, field.name)
                if hasattr(each, "open") and each not in found.values():
                    found[f"{name}'s {field.name}"] = each
    return found
