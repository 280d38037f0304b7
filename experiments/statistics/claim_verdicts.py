"""Verdicts on the claims that a configuration declares before it is run.

A claim about several references is one claim: the row differs from each of them, in the same direction. It is
false if one of the differences is 0, so each part is tested at the level of the whole claim, and the claim
holds if every part does; the probability of a false claim stays below that level without a correction for the
parts. Claims are corrected among themselves.

Source: the intersection-union test (Berger 1982).
"""

import dataclasses
from collections.abc import Mapping, Sequence

from prismlab.experiments import claim_parts, look_levels
from prismlab.experiments.statistics import cells, comparisons, item_scores, pairing, results_table, two_part


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a configuration declares of its comparisons.

    Args:
        claims: (row, against, metric) each; `against` is one row, or several for a claim about all of them.
        matters: the smallest difference of interest.
        looks: numbers of seeds at which the claims are judged; () for one look at whatever seeds there are.
        seeds: the seeds that every row is run with.
    """

    claims: tuple[claim_parts.Declared, ...] = ()
    matters: float = 0.02
    looks: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def parts(self) -> list[list[tuple[str, str, str]]]:
        """The comparisons of each claim: one, or one for each of its references."""
        return [claim_parts.parts(claim) for claim in self.claims]


def judge(
    plan: Plan, rows: Sequence[results_table.Row], items: item_scores.Found
) -> tuple[comparisons.Claim, ...]:
    """Return every comparison of every claim with its verdict; claims share an error of 5 % (Bonferroni).

    Args:
        plan: the claims.
        rows: the table's rows; a claim about a row that is not finished has no verdict.
        items: outcomes of single test items.
    """
    alpha = look_levels.level(plan.looks)
    known = {row.label: row for row in rows}
    pairs = {part: _pairs(known, part, items) for claim in plan.parts for part in claim}
    found = {
        part: each.difference(claims=len(plan.claims), alpha=alpha)
        if isinstance(each, pairing.Pairs)
        else None
        for part, each in pairs.items()
    }

    def judged(part: tuple[str, str, str]) -> comparisons.Claim:
        each, own = pairs[part], found[part]
        if not isinstance(each, pairing.Pairs) or own is None:
            return _without(plan, part, alpha, each if isinstance(each, str) else each.remark)
        others = [other for (_, _, metric), other in found.items() if metric == part[2] and other is not None]
        return _claim(plan, part, each, own, others)

    return tuple(
        entry
        for number, claim in enumerate(plan.parts, 1)
        for entry in _whole(number, [judged(part) for part in claim])
    )


def _whole(number: int, own: list[comparisons.Claim]) -> list[comparisons.Claim]:
    """Return the parts of a claim with the verdict of the whole claim."""
    if len(own) == 1:
        return [dataclasses.replace(own[0], number=number)]
    verdicts = {each.verdict for each in own}
    verdict = verdicts.pop() if len(verdicts) == 1 else two_part.NOT_SEPARABLE
    if any(each.verdict is None for each in own):
        verdict = None
    elif verdict == two_part.SEPARABLE and len({(each.difference or 0.0) > 0 for each in own}) > 1:
        verdict = two_part.NOT_SEPARABLE
    noted = []
    for each in own:
        remarks = [each.note] if each.note else []
        if each.verdict != verdict and each.verdict is not None:
            remarks.append(f"this part alone: {each.verdict}; the claim needs every part, in one direction")
        note = "; ".join(remarks) or None
        noted.append(dataclasses.replace(each, verdict=verdict, note=note, number=number))
    return noted


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


def sentence(claim: comparisons.Claim, place: str) -> str:
    """Return the verdict of a claim, or of a part of one, in one line.

    Args:
        claim: the claim.
        place: its place among the claims, such as "claim 1 of 2" or "claim 1 of 1, part 2 of 2".
    """
    text = f"{claim.row!r} minus {claim.reference!r}, {claim.metric}: "
    if claim.difference is None:
        return f"{text}no verdict, {claim.note or 'nothing was compared'} ({place})."
    text += cells.signed(claim.difference)
    if claim.interval is not None:
        text += f" {cells.interval(claim.interval, 3)} at {100 * claim.level:.4g} %"
    text += f", {cells.basis(claim.n, claim.clips)}, {place}"
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
    """Return the verdict of each claim of a table, one line for each part of it."""
    numbers, of = _numbered(table.claims), count(table.claims)
    lines = []
    for place, (claim, number) in enumerate(zip(table.claims, numbers)):
        words = f"claim {number} of {of}"
        if (among := numbers.count(number)) > 1:
            words += f", part {numbers[: place + 1].count(number)} of {among}"
        lines.append(sentence(claim, words))
    return lines


def count(claims: Sequence[comparisons.Claim]) -> int:
    """Return the number of claims; the parts of one claim count once."""
    return len(set(_numbered(claims)))


def _numbered(claims: Sequence[comparisons.Claim]) -> list[int]:
    return [claim.number or place for place, claim in enumerate(claims, 1)]
