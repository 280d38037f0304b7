"""Stages whose steps were set by the cost of another one, kept beside config.json for the table."""

import dataclasses
from typing import Any

from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.recipe import recipe
from prismlab.experiments.statistics import scale_points

FILE = "matched.json"


def of(root: Any) -> list[dict[str, Any]]:
    """Return the matched stages of all rows of an Ablation as JSON data; [] of an Experiment."""
    if not isinstance(root, recipe.Ablation):
        return []
    return [
        {"row": label, **dataclasses.asdict(each), "mismatch": each.mismatch, "text": each.text}
        for label, matches in root.matches().items()
        for each in matches
    ]


def read(workdir: filesystem.Path) -> tuple[scale_points.Matched, ...]:
    """Return the matched stages of a work directory.

    Raises:
        UserError: the file is damaged.
    """
    path = workdir / FILE
    return checked_json.read(tuple[scale_points.Matched, ...], path) if path.is_file() else ()
