"""Paired differences of an ablation's rows at each of its scales, and how they change with compute."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from prismlab.experiments.statistics import cells, item_scores, pairing, results_table, scale_points, two_part

LEAST_POINTS = 3  # of a line with a slope


@dataclasses.dataclass(frozen=True)
class Design:
    """Scales of an ablation.

    Args:
        places: label of a row of the table -> its row of the ablation and its scale.
        references: rows of the ablation that the others are compared with at each scale.
    """

    places: Mapping[str, tuple[str, str]]
    references: tuple[str, ...]

    def compared(self, label: str, other: str) -> bool:
        """Return whether two rows of the table are compared: at one scale only."""
        return self.places[label][1] == self.places[other][1]


def build(
    table: results_table.Table, design: Design, items: item_scores.Found, flops: Mapping[str, float]
) -> tuple[scale_points.Curve, ...]:
    """Return the difference of each row to each reference in each metric, scale by scale.

    Args:
        table: the table with all rows at all scales.
        design: which row is which.
        items: outcomes of single test items.
        flops: label of a row of the table -> model FLOPs of its training; rows may be missing.
    """
    known = {design.places[row.label]: row for row in table.rows}
    scales = list(dict.fromkeys(scale for _, scale in known))
    rows = list(dict.fromkeys(row for row, _ in known))
    found = []
    for metric in table.metric_names:
        for place, reference in enumerate(each for each in rows if each in design.references):
            earlier = [each for each in rows if each in design.references][: place + 1]
            for row in [each for each in rows if each not in earlier]:
                pairs = {
                    scale: (known[row, scale], known[reference, scale])
                    for scale in scales
                    if _has(known, (row, scale), metric) and _has(known, (reference, scale), metric)
                }
                if pairs:
                    found.append(_curve(row, reference, metric, pairs, items, flops))
    return tuple(found)


def _has(known: Mapping[tuple[str, str], results_table.Row], place: tuple[str, str], metric: str) -> bool:
    return place in known and metric in known[place].metrics


def _curve(
    row: str,
    reference: str,
    metric: str,
    pairs: Mapping[str, tuple[results_table.Row, results_table.Row]],
    items: item_scores.Found,
    flops: Mapping[str, float],
) -> scale_points.Curve:
    points, matrices = [], {}
    for scale, (ours, theirs) in pairs.items():
        cost = flops.get(ours.label), flops.get(theirs.label)
        shared = pairing.of(ours, theirs, metric, items)
        difference = shared.difference() if shared is not None else None
        if shared is None or difference is None:
            note = pairing.PROTOCOLS_DIFFER if shared is None else shared.remark
            seeds = None if shared is None else shared.seeds
            points.append(
                scale_points.Point(scale, ours.label, theirs.label, None, None, 0, seeds, None, note, *cost)
            )
            continue
        points.append(
            scale_points.Point(
                scale, ours.label, theirs.label, difference.mean, difference.finite_interval,
                difference.seeds, shared.seeds, shared.clips, shared.remark, *cost,
            )
        )  # fmt: skip
        matrices[scale] = shared
    lines: dict[str, list[scale_points.Point]] = {}
    for point in points:
        if point.scale in matrices and point.flops:
            lines.setdefault(point.series, []).append(point)
    slopes = [_slope(name, line, [matrices[point.scale] for point in line]) for name, line in lines.items()]
    return scale_points.Curve(
        row, reference, metric, tuple(points), tuple(slope for slope in slopes if slope is not None)
    )


def _slope(
    series: str, line: Sequence[scale_points.Point], pairs: Sequence[pairing.Pairs]
) -> scale_points.Slope | None:
    """Return the slope of a line over the decimal logarithm of FLOPs.

    It is a weighted sum of the differences at the scales, formed for each seed and clip: its interval counts
    that one seed and one clip are the same at all scales.
    """
    x = np.asarray([math.log10(point.flops or 1.0) for point in line])
    same = {(each.seeds, each.differences.shape) for each in pairs}
    if len(line) < LEAST_POINTS or len(same) > 1 or np.ptp(x) == 0:
        return None
    weights = (x - x.mean()) / np.square(x - x.mean()).sum()
    found = two_part.difference(np.tensordot(weights, np.stack([each.differences for each in pairs]), axes=1))
    return scale_points.Slope(series, found.mean, found.finite_interval, len(line))


def sentence(curve: scale_points.Curve) -> str:
    """Return at how many scales a difference has which sign, and its slopes, in one line."""
    there = [point for point in curve.points if point.difference is not None]
    told = []
    for word, side in (("positive", 1.0), ("negative", -1.0)):
        count = sum(side * (point.difference or 0.0) > 0 for point in there)
        clear = sum(min(side * end for end in point.ci95) > 0 for point in there if point.ci95 is not None)
        if count:
            where = "above" if side > 0 else "below"
            told.append(f"{word} at {count} of {len(there)} scales (interval {where} 0 at {clear})")
    for slope in curve.slopes:
        spread = "" if slope.ci95 is None else f" {cells.interval(slope.ci95, 3)}"
        name = f"{slope.series}: " if slope.series else ""
        told.append(f"{name}{cells.signed(slope.per_tenfold)}{spread} for ten times the FLOPs")
    return "; ".join(told) or "nothing was compared"


HEADS = ["scale", "training FLOPs", "against", "difference", "95 % interval", "over"]


def lines(curve: scale_points.Curve) -> list[list[str]]:
    """Format a curve as strings, one line a scale, in the order of HEADS.

    "training FLOPs" are those of the row, "against" their ratio to those of the reference.
    """
    found = []
    for point in curve.points:
        ratio = "–"
        if point.flops is not None and point.reference_flops:
            ratio = f"{point.flops / point.reference_flops:.3g} x"
        spread = "–" if point.ci95 is None else cells.interval(point.ci95, 3)
        over = [cells.basis(point.n, point.clips)] if point.n else []
        found.append([
            point.scale, "–" if point.flops is None else f"{point.flops:.3g}", ratio,
            cells.signed(point.difference), spread, "; ".join([*over, *filter(None, [point.note])]) or "–",
        ])  # fmt: skip
    return found
