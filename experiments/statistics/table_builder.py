"""Collect the scores of all rows and seeds into the results table, with intervals and paired comparisons."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prismlab.core import errors
from prismlab.experiments.statistics import (
    claim_verdicts,
    comparisons,
    item_scores,
    pairing,
    results_table,
    scale_curves,
    stats,
    two_part,
)


def build_table(
    results: Sequence[results_table.Result],
    *,
    reference: Sequence[str] = (),
    title: str | None = None,
    logs: Sequence[results_table.Log] | None = None,
    items: item_scores.Found | None = None,
    plan: claim_verdicts.Plan | None = None,
    design: scale_curves.Design | None = None,
    flops: Mapping[str, float] | None = None,
    **extra: Any,
) -> results_table.Table:
    """Collect the results of all rows and seeds into one table.

    Args:
        results: one entry per row and seed.
        reference: labels of the rows that every other row is compared with, seed by seed; two reference rows
            are compared once, the later with the earlier one.
        title: name of the experiment.
        logs: event logs of the rows.
        items: outcomes of single test items, from `item_scores.read`; None if they are not known.
        plan: the claims of the configuration; None if there are none.
        design: scales of the ablation, whose rows are compared at each of them only; None without.
        flops: label -> model FLOPs of its training, for the rows of `design`.
        extra: additional entries of table.json, such as command or config; they must be plain JSON.

    Returns:
        The table. Differences have two-part intervals where both rows have outcomes of the same items, else
        intervals over seeds only, which say so.

    Raises:
        UserError: a row has two results for a seed, or seeds with different protocols, or a reference is not
            a row.
    """
    groups, items = _group(results), items or {}
    missing = [label for label in reference if label not in groups]
    if missing:
        raise errors.UserError(
            f"expected reference rows among {list(groups)}, got {missing}; correct the label"
        )
    rows = []
    for label, seeds in groups.items():
        order = sorted(seeds)
        names = dict.fromkeys(name for seed in order for name in seeds[seed])
        cells = {
            name: _cell(label, name, {seed: seeds[seed].get(name) for seed in order}, items) for name in names
        }
        rows.append(results_table.Row(label, tuple(order), cells))
    claims = claim_verdicts.judge(plan, rows, items) if plan is not None else ()
    claimed = {(entry.row, entry.reference, entry.metric) for entry in claims}
    paired = [
        _comparison(row, other, name, items)
        for place, other in enumerate(rows)
        if other.label in reference
        for row in [row for row in rows[:place] if row.label not in reference] + rows[place + 1 :]
        if design is None or design.compared(row.label, other.label)
        for name in row.metrics
        if name in other.metrics and (row.label, other.label, name) not in claimed
    ]
    logged = None if logs is None else tuple(logs)
    table = results_table.Table(
        tuple(rows), tuple(reference), tuple(paired), title, logged, extra, claims, _accepted(results)
    )
    if design is None:
        return table
    return dataclasses.replace(table, scales=scale_curves.build(table, design, items, flops or {}))


def _accepted(results: Sequence[results_table.Result]) -> tuple[str, ...]:
    """Return one sentence for each stage that was trained with other code than the rest of the table."""
    rows: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for result in results:
        for stage, files in result.accepted_code.items():
            rows.setdefault((stage, tuple(files)), {})[result.label] = None
    return tuple(
        f"{stage} of {', '.join(map(repr, labels))} was trained before {', '.join(files)} changed; the user "
        "accepted it (--accept-code)"
        for (stage, files), labels in rows.items()
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


def _cell(
    label: str, name: str, found: dict[int, results_table.Score | None], items: item_scores.Found
) -> results_table.Cell:
    """Return one metric of one row; `found` has one score or None per seed."""
    there = {seed: score for seed, score in found.items() if score is not None}
    first = next(iter(there.values()))
    protocol = dict(first.protocol)
    for score in there.values():
        if dict(score.protocol) != protocol:
            raise errors.UserError(
                f"expected one protocol for all seeds of {name!r} in row {label!r}, got {protocol} and "
                f"{dict(score.protocol)}; evaluate these seeds with the same protocol"
            )
    values = [
        None if score is None or not math.isfinite(score.value) else score.value for score in found.values()
    ]
    groups = pairing.own(label, tuple(there), name, items)
    summary = _summary(list(there.values()), groups)
    sizes = tuple(None if score is None else score.n for score in found.values())
    return results_table.Cell(tuple(values), summary.mean, summary.ci95, protocol, sizes, summary.method)


def _summary(scores: list[results_table.Score], groups: np.ndarray | None) -> stats.Summary:
    """Return the mean of scores with its two-part interval if their items are known."""
    values = [score.value for score in scores]
    if groups is None or not all(map(math.isfinite, values)):
        return stats.summary(values, [score.n for score in scores])
    if len(values) == 1:  # dependent items count once; Wilson's interval stays within [0, 1]
        return stats.summary(values, [groups.shape[1] if scores[0].n else 0])
    plain, half = stats.summary(values), two_part.difference(groups).half
    assert plain.mean is not None
    method = f"two-part over {len(values)} seeds x {groups.shape[1]:,} clips"
    return stats.Summary(plain.mean, (plain.mean - half, plain.mean + half), method)


def _comparison(
    row: results_table.Row, reference: results_table.Row, name: str, items: item_scores.Found
) -> comparisons.Comparison:
    labels = row.label, reference.label, name
    pairs = pairing.of(row, reference, name, items)
    if pairs is None:
        return comparisons.Comparison(*labels, None, None, 0, note=pairing.PROTOCOLS_DIFFER)
    found = pairs.difference()
    if found is None:
        return comparisons.Comparison(*labels, None, None, 0, pairs.seeds, note=pairs.remark)
    return comparisons.Comparison(
        *labels, found.mean, found.finite_interval, note=pairs.remark, **pairs.counted(found)
    )
