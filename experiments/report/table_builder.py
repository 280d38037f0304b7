"""Collect the scores of all rows and seeds into the results table, with intervals and paired comparisons."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.report import results_table, stats


def build_table(
    results: Sequence[results_table.Result],
    *,
    reference: Sequence[str] = (),
    title: str | None = None,
    logs: Sequence[results_table.Log] | None = None,
    **extra: Any,
) -> results_table.Table:
    """Collect the results of all rows and seeds into one table.

    Args:
        results: one entry per row and seed.
        reference: labels of the rows that every other row is compared with, seed by seed; two reference rows
            are compared once, the later with the earlier one.
        title: name of the experiment.
        logs: event logs of the rows.
        extra: additional entries of table.json, such as command or config; they must be plain JSON.

    Returns:
        The table. Holm's adjustment (p_holm) covers all comparisons.

    Raises:
        UserError: a row has two results for a seed, or seeds with different protocols, or a reference is not
            a row.
    """
    groups = _group(results)
    missing = [label for label in reference if label not in groups]
    if missing:
        raise errors.UserError(
            f"expected reference rows among {list(groups)}, got {missing}; correct the label"
        )
    rows = []
    for label, seeds in groups.items():
        order = sorted(seeds)
        names = dict.fromkeys(name for seed in order for name in seeds[seed])
        cells = {name: _cell(label, name, [seeds[seed].get(name) for seed in order]) for name in names}
        rows.append(results_table.Row(label, tuple(order), cells))
    compared = [
        (row, other, name)
        for place, other in enumerate(rows)
        if other.label in reference
        for row in [row for row in rows[:place] if row.label not in reference] + rows[place + 1 :]
        for name in row.metrics
        if name in other.metrics
    ]
    tests = [_test(*each) for each in compared]
    adjusted = stats.holm([None if test is None else test.p for test, _ in tests])
    paired = [_comparison(*each, *test, p) for each, test, p in zip(compared, tests, adjusted)]
    return results_table.Table(
        tuple(rows), tuple(reference), tuple(paired), title, None if logs is None else tuple(logs), extra
    )


def _group(
    results: Sequence[results_table.Result],
) -> dict[str, dict[int, Mapping[str, results_table.Score]]]:
    """Return label -> seed -> scores, rows in order of appearance."""
    rows: dict[str, dict[int, Mapping[str, results_table.Score]]] = {}
    for result in results:
        seeds = rows.setdefault(result.label, {})
        if result.seed in seeds:
            raise errors.UserError(
                f"expected one result per row and seed, but row {result.label!r} has two for seed "
                f"{result.seed}; give the rows different names"
            )
        seeds[result.seed] = result.metrics
    return rows


def _cell(label: str, name: str, found: list[results_table.Score | None]) -> results_table.Cell:
    """Return one metric of one row; `found` has one score or None per seed."""
    there = [score for score in found if score is not None]
    protocol = dict(there[0].protocol)
    for score in there:
        if dict(score.protocol) != protocol:
            raise errors.UserError(
                f"expected one protocol for all seeds of {name!r} in row {label!r}, got {protocol} and "
                f"{dict(score.protocol)}; evaluate these seeds with the same protocol"
            )
    values = [None if score is None or not math.isfinite(score.value) else score.value for score in found]
    summary = stats.summary([score.value for score in there], [score.n for score in there])
    sizes = tuple(None if score is None else score.n for score in found)
    return results_table.Cell(tuple(values), summary.mean, summary.ci95, protocol, sizes, summary.method)


def _test(
    row: results_table.Row, reference: results_table.Row, name: str
) -> tuple[stats.Paired | None, tuple[int, ...] | None]:
    """Return the paired test of a metric, and the seeds of both rows; (None, None) if incomparable."""
    ours, theirs = row.metrics[name], reference.metrics[name]
    if ours.protocol != theirs.protocol:
        return None, None
    mine, other = dict(zip(row.seeds, ours.values)), dict(zip(reference.seeds, theirs.values))
    pairs = [
        (seed, value, against)
        for seed, value in mine.items()
        if value is not None and (against := other.get(seed)) is not None
    ]
    test = stats.paired([value for _, value, _ in pairs], [against for _, _, against in pairs])
    return test, tuple(seed for seed, _, _ in pairs)


def _comparison(
    row: results_table.Row,
    reference: results_table.Row,
    name: str,
    test: stats.Paired | None,
    seeds: tuple[int, ...] | None,
    p_holm: float | None,
) -> results_table.Comparison:
    labels = row.label, reference.label, name
    if test is None:
        return results_table.Comparison(*labels, None, None, None, 0, p_holm, note="protocols differ")
    return results_table.Comparison(*labels, test.difference, test.ci95, test.p, test.n, p_holm, seeds)
