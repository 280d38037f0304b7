"""Scales of an ablation: the same rows at several model sizes, decoder sizes or schedules."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.recipe import changes, row_checks

AT = " @ "  # between a row and its scale in a label


def labels(rows: Iterable[str], names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return label -> (row, scale), scale by scale; without scales the labels of rows with the scale "".

    Args:
        rows: labels of `recipe.Ablation.rows`.
        names: names of scales.
    """
    rows = list(rows)
    return {f"{row}{AT}{name}": (row, name) for name in names for row in rows} or {
        row: (row, "") for row in rows
    }


def applied(
    base: Any, rows: Mapping[str, Mapping[str, Any]], scales: Mapping[str, Mapping[str, Any]]
) -> dict[str, changes.Applied]:
    """Return label -> experiment of every row at every scale.

    Args:
        base, rows, scales: see `recipe.Ablation`.

    Raises:
        UserError: a change refers to something that the base lacks.
    """
    sizes = {name: changes.Scale(name, each) for name, each in scales.items()}
    return {
        label: changes.apply(base, row, rows[row], sizes.get(name))
        for label, (row, name) in labels(rows, scales).items()
    }


def check(
    base: Any,
    rows: Mapping[str, Mapping[str, Any]],
    scales: Mapping[str, Mapping[str, Any]],
    run: Sequence[str],
    found: Mapping[str, changes.Applied],
) -> None:
    """Check that no two rows of a scale, and no two scales, are the same.

    Args:
        base, rows, scales: see `recipe.Ablation`.
        run: `recipe.Ablation.run_scales`.
        found: from `applied`.

    Raises:
        UserError: two are, two names are alike, or a scale to run does not exist.
    """
    where = "recipe.Ablation.scales"
    unknown = [name for name in run if name not in scales]
    if unknown:
        raise errors.UserError(
            f"recipe.Ablation.run_scales: no scale is named {unknown[0]!r}; {_near(unknown[0], list(scales))}"
        )
    if len(found) < len(rows) * max(1, len(scales)):
        raise errors.UserError(f"{where}: two labels 'ROW{AT}SCALE' are the same; rename rows or scales")
    row_checks.check_labels(scales, where)
    seen: dict[tuple[str, ...], str] = {}
    for name in scales or ("",):
        own = {
            row: found[label].experiment for label, (row, at) in labels(rows, scales).items() if at == name
        }
        start = (
            changes.apply(base, "", {}, changes.Scale(name, scales[name]))
            if scales
            else changes.Applied(base)
        )
        addresses = row_checks.check_rows(start.experiment, rows, own, f" at the scale {name!r}" * bool(name))
        other = seen.setdefault(tuple(addresses.values()), name)
        if other != name:
            raise errors.UserError(
                f"{where}[{name!r}]: the scale is equal to {other!r} in all that decides a number of a row; "
                "change it or remove it"
            )


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 3)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {known}"
