"""Facts that must agree in all processes of a run: configuration, code, data, settings and versions."""

import hashlib
import pathlib
from typing import Any

import jax
import numpy as np

from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.store import work_directory

ROOMS = ("core", "objectives", "data", "experiments")


def facts(root: Any) -> dict[str, Any]:
    """Return name -> plain data, compared between processes by `distributed.check_same`.

    Args:
        root: the Experiment or Ablation.
    """
    found: dict[str, Any] = {"jax": jax.__version__, "numpy": np.__version__}
    found |= fingerprints.settings()
    found |= {f"configuration {path}": value for path, value in leaves(describe.describe(root)).items()}
    return found | code() | contents(root)


def contents(root: Any) -> dict[str, str]:
    """Return the user's own code and the content of the data that the stages and tasks of all rows read.

    Args:
        root: the Experiment or Ablation.

    Raises:
        UserError: data is missing on this host.
    """
    prints = fingerprints.Fingerprints(work_directory.default_cache())
    rows = root.experiments() if isinstance(root, recipe.Ablation) else {root.name: root}
    found: dict[str, str] = {}
    for label, each in rows.items():
        parts = {stage.name: stages.data_of(stage) for stage in each.stages} | {"tasks": dict(each.tasks)}
        for name, part in parts.items():
            modules = prints.code(part, ())
            found |= {f"code {key}": modules[key] for key in modules if not key.startswith("prismlab.")}
            found |= {f"data {label!r} {name}.{path}": content for path, content in prints.data(part).items()}
    return found


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested plain data by path, such as "stages[0].steps"."""
    if isinstance(tree, dict):
        inner = {f"{path}.{name}" if path else name: each for name, each in tree.items()}
    elif isinstance(tree, list):
        inner = {f"{path}[{index}]": each for index, each in enumerate(tree)}
    else:
        return {path: tree}
    return {deep: leaf for name, each in inner.items() for deep, leaf in leaves(each, name).items()}


def code() -> dict[str, str]:
    """Return the first 12 hex digits of the sha256 of each prismlab source file."""
    home = pathlib.Path(__file__).parents[2]
    paths = sorted(path for room in ROOMS for path in (home / room).rglob("*.py"))
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return {f"code {path.relative_to(home)}": digest(path) for path in paths}
