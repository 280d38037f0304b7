"""What each row of an ablation changed, from config.json; its code is not imported and no gin is run."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.recipe import describe, scales
from prismlab.experiments.report import page_facts

MOST_LINES = 12  # of a row
_CLASS = re.compile(r"\bprismlab\.(?:\w+\.)*(\w+\.\w+)\b")
_ABSENT = object()


@dataclasses.dataclass(frozen=True)
class _Base:
    stages: tuple[Mapping[str, Any], ...] = ()
    tasks: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Ablation:
    base: _Base = dataclasses.field(default_factory=_Base)
    rows: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def read(
    config: filesystem.Path, order: tuple[str, ...], origin: str | None = None
) -> tuple[page_facts.Change, ...]:
    """Return the changes of each row against the base experiment.

    Args:
        config: the file config.json; that of an Experiment has no rows.
        order: labels in the order of the table; config.json has them sorted.
        origin: file and line of `recipe.Ablation.rows`, or None.

    Raises:
        UserError: the file is missing or damaged.
    """
    ablation = checked_json.read(_Ablation, config)
    changes = dict(ablation.rows)
    if ablation.scales:  # each row and each scale once, not all their pairs
        places = scales.labels(ablation.rows, ablation.scales)
        pairs = [places[label] for label in order if label in places]
        changes |= {f"scale {name}": each for name, each in ablation.scales.items()}
        order = tuple(dict.fromkeys([*(row for row, _ in pairs), *(f"scale {name}" for _, name in pairs)]))
    return tuple(
        page_facts.Change(label, tuple(_lines(ablation.base, changes[label])), origin)
        for label in order
        if label in changes
    )


def _lines(base: _Base, changes: Mapping[str, Any]) -> list[str]:
    stages = {str(stage.get("name")): stage for stage in base.stages}
    found: list[str] = []
    for path, new in changes.items():
        head, _, rest = path.partition(".")
        if path == "stages" and isinstance(new, list):
            found.append(f"stages: {', '.join(map(str, new)) or 'none'}")
            continue
        old = base.tasks if path == "tasks" else _at(stages.get(head), rest.split("."))
        before = {} if old is _ABSENT else {path: old}
        found += describe.difference(before, {path: new}) or [f"{path}: as in the base"]
    short = [_CLASS.sub(r"\1", line).replace(" -> ", " → ") for line in found]
    if len(short) > MOST_LINES:
        short[MOST_LINES:] = [f"and {len(short) - MOST_LINES} more"]
    return short


def _at(tree: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return _ABSENT
        tree = tree[name]
    return tree
