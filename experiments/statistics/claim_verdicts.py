"""Verdicts on the claims that a configuration declares before it is run."""

import dataclasses
from collections.abc import Mapping, Sequence

from prismlab.experiments import look_levels
from prismlab.experiments.statistics import cells, comparisons, item_scores, pairing, results_table, two_part


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a configuration declares of its comparisons.

    Args:
        claims: (row, against, metric) each.
        matters: the smallest difference of interest.
        looks: numbers of seeds at which the claims are judged; () for one look at whatever seeds there are.
        seeds: the seeds that every row is run with.
    """

    claims: tuple[tuple[str, str, str], ...] = ()
    matters: float = 0.02
    looks: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()


def judge(
    plan: Plan, rows: Sequence[results_table.Row], items: item_scores.Found
) -> tuple[comparisons.Claim, ...]:
    """Return every claim with its verdict; claims share an error of 5 % (Bonferroni).

    Args:
        plan: the claims.
        rows: the table's rows; a claim about a row that is not finished has no verdict.
        items: outcomes of single test items.
    """
    alpha = look_levels.level(plan.looks)
    known = {row.label: row for row in rows}
    pairs = {claim: _pairs(known, claim, items) for claim in plan.claims}
    found = {
        claim: each.difference(claims=len(plan.claims), alpha=alpha)
        if isinstance(each, pairing.Pairs)
        else None
        for claim, each in pairs.items()
    }
    judged = []
    for claim in plan.claims:
        each, own = pairs[claim], found[claim]
        if not isinstance(each, pairing.Pairs) or own is None:
            note = each if isinstance(each, str) else each.remark
            judged.append(_without(plan, claim, alpha, note))
            continue
        others = [
            other for (_, _, metric), other in found.items() if metric == claim[2] and other is not None
        ]
        judged.append(_claim(plan, claim, each, own, others))
    return tuple(judged)


def _pairs(
    rows: Mapping[str, results_table.Row], claim: tuple[str, str, str], items: item_scores.Found
) -> pairing.Pairs | str:
    """Return the pairs of a claim, or the reason that there are none."""
    label, against, metric = claim
    for name in (label, against):
        if name not in rows:
            return f"row {name!r} is not finished"
        if metric not in rows[name].metrics:
            return f"row {name!r} has no {metric!r}"
    return pairing.of(rows[label], rows[against], metric, items) or pairing.PROTOCOLS_DIFFER


def _without(plan: Plan, claim: tuple[str, str, str], alpha: float, note: str | None) -> comparisons.Claim:
    level = 1 - alpha / len(plan.claims)
    return comparisons.Claim(*claim, None, None, level, None, plan.matters, None, 0, note=note)


def _claim(
    plan: Plan,
    claim: tuple[str, str, str],
    pairs: pairing.Pairs,
    own: two_part.Difference,
    others: Sequence[two_part.Difference],
) -> comparisons.Claim:
    remarks = list(pairs.remarks)
    verdict = own.verdict(plan.matters)
    started = own.seeds + pairs.diverged
    if started < len(plan.seeds):
        remarks.append(f"{len(plan.seeds) - started} of {len(plan.seeds)} seeds not finished")
    if plan.looks and started not in plan.looks:
        remarks.append(f"{started} seeds are outside the planned looks {', '.join(map(str, plan.looks))}")
        verdict = None
    if own.seeds == 1:
        remarks.append("one seed, no verdict")
    elif own.p is None:
        remarks.append("equal differences in all seeds, no verdict")
    needed = two_part.seeds_needed(own, others, plan.matters) if own.seeds > 1 else None
    advice = _advice(plan, own, needed) if verdict == two_part.NOT_SEPARABLE else None
    return comparisons.Claim(
        *claim, own.mean, own.finite_interval, own.level, own.p, plan.matters, verdict,
        seeds_needed=needed, advice=advice, note="; ".join(remarks) or None, **pairs.counted(own),
    )  # fmt: skip


def _advice(plan: Plan, own: two_part.Difference, needed: int | None) -> str:
    """Return what would bring the interval to +-matters."""
    band = f"±{cells.number(plan.matters)}"
    if own.clip_half > plan.matters:
        return f"more seeds cannot bring it to {band}, more clips would"
    if needed is None:
        return f"{band} needs more than 1,000 seeds"
    more = needed - own.seeds
    if more <= 0:
        return f"{band} is reached with about as many seeds"
    return f"{band} needs about {more} more seed{'s' * (more != 1)}"


def sentence(claim: comparisons.Claim, number: int, of: int) -> str:
    """Return the verdict of a claim in one line.

    Args:
        claim: the claim.
        number: its number, from 1.
        of: number of claims.
    """
    text = f"{claim.row!r} minus {claim.reference!r}, {claim.metric}: "
    if claim.difference is None:
        return f"{text}no verdict, {claim.note or 'nothing was compared'} (claim {number} of {of})."
    text += cells.signed(claim.difference)
    if claim.interval is not None:
        text += f" {cells.interval(claim.interval, 3)} at {100 * claim.level:.4g} %"
    text += f", {cells.basis(claim.n, claim.clips)}, claim {number} of {of}"
    if claim.p is not None:
        p = cells.probability(claim.p)
        text += f", p {p if p.startswith('<') else f'= {p}'} (needs < {1 - claim.level:.3g})"
    verdict = claim.verdict or "no verdict"
    if claim.verdict == two_part.EQUAL:
        verdict += f" ±{cells.number(claim.matters)}"
    text += f": {verdict}{f', {claim.advice}' if claim.advice else ''}."
    if claim.seed_variance is not None and claim.clip_variance is not None:
        share = two_part.seed_share(claim.seed_variance, claim.clip_variance, claim.n)
        if share is not None:
            seeds = round(100 * share)
            text += f" Variance: seeds {seeds} %, clips {100 - seeds} %."
    return text + (f" Note: {claim.note}." if claim.note else "")


def sentences(table: results_table.Table) -> list[str]:
    """Return the verdict of each claim of a table."""
    return [sentence(claim, place, len(table.claims)) for place, claim in enumerate(table.claims, 1)]
