"""Checks of an ablation's rows and claims before anything is trained."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments import claim_parts
from prismlab.experiments.recipe import describe, task_interface


def check_labels(labels: Iterable[str], where: str) -> None:
    """Check that no two labels differ in case or spaces only.

    Args:
        labels: of rows, or names of scales.
        where: the field that has them, for messages.

    Raises:
        UserError: two are alike.
    """
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(" ".join(label.casefold().split()), label)
        if other != label:
            raise errors.UserError(f"{where}: the labels {other!r} and {label!r} are alike; rename one")


def check_rows(
    base: Any, changes: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Any], at: str = ""
) -> dict[str, str]:
    """Check that no two rows have the same label or are the same experiment.

    Args:
        base: the experiment that rows differ from.
        changes: label -> changes; {} is the base itself.
        rows: label -> experiment.
        at: the scale of all of them, for messages.

    Returns:
        label -> what identifies the experiment.

    Raises:
        UserError: two labels differ in case or spaces only, two rows are equal in all that decides a number,
            or a row's changes leave the base as it is.
    """
    check_labels(rows, "recipe.Ablation.rows")
    addresses = {label: _address(experiment) for label, experiment in rows.items()}
    known = {_address(base): "the base"}
    for label, address in addresses.items():
        if not changes[label] and known.get(address) == "the base":
            known[address] = repr(label)
            continue
        if address in known:
            raise errors.UserError(
                f"recipe.Ablation.rows[{label!r}]: the row is equal to {known[address]}{at} in all that "
                "decides a number; change it or remove it ({} is the base itself)"
            )
        known[address] = repr(label)
    return addresses


def _address(experiment: Any) -> str:
    return describe.address(describe.addressed(describe.describe(experiment)))


def check_claims(
    claims: Sequence[claim_parts.Declared], tasks: Mapping[str, Mapping[str, task_interface.Task]]
) -> None:
    """Check that each claim compares two rows by a metric that both have.

    Args:
        claims: (row, against, metric) each; `against` is one label or several.
        tasks: row label -> task name -> task.

    Raises:
        UserError: a claim names no row, one row twice, no metric, or another claim's comparison.
    """
    seen: set[tuple[frozenset[str], str]] = set()
    for claim in claims:
        where = f"recipe.Ablation.claims: {claim}"
        if not (parts := claim_parts.parts(claim)):
            raise errors.UserError(f"{where}: the row is compared with nothing; name one row or several")
        for row, against, metric in parts:
            for label in (row, against):
                if label not in tasks:
                    raise errors.UserError(f"{where}: no row is named {label!r}; {_near(label, list(tasks))}")
            if row == against:
                raise errors.UserError(f"{where}: the row is compared with itself; name two rows")
            for label in (row, against):
                names = _metrics(tasks[label])
                if names is not None and metric not in names:
                    raise errors.UserError(
                        f"{where}: row {label!r} has no metric {metric!r}; {_near(metric, names)}"
                    )
            if (key := (frozenset((row, against)), metric)) in seen:
                raise errors.UserError(f"{where}: the same comparison is claimed twice; remove one")
            seen.add(key)


def _metrics(tasks: Mapping[str, task_interface.Task]) -> list[str] | None:
    """Return the names of a row's scores as the table has them, or None if a task does not name its own."""
    names: list[str] = []
    for task_name, task in tasks.items():
        if not isinstance(task, task_interface.NamesMetrics):
            return None
        names += [f"{task_name}: {name}" if name in names else name for name in task.metric_names()]
    return names


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 3)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {known}"
