"""Where the uncertainty of a difference comes from: training seeds, probe heads or test clips."""

import dataclasses
from collections.abc import Sequence

from prismlab.experiments.statistics import cells, comparisons, results_table


@dataclasses.dataclass(frozen=True)
class Split:
    """Shares of the variance of one mean difference.

    Args:
        entry: the claim or comparison.
        seeds: share of the training seeds, in [0, 1].
        heads: share of the probe heads; 0 if they are not known, and then part of `seeds`.
        clips: share of the test clips, which more seeds do not reduce.
        heads_known: False if the heads are part of `seeds`.
    """

    entry: comparisons.Claim | comparisons.Comparison
    seeds: float
    heads: float
    clips: float
    heads_known: bool

    @property
    def label(self) -> str:
        """Return what was compared."""
        return f"{self.entry.row} minus {self.entry.reference}, {self.entry.metric}"

    @property
    def percent(self) -> tuple[int, int, int]:
        """Return seeds, heads and clips in whole per cent, with the sum 100."""
        seeds, heads = round(100 * self.seeds), round(100 * self.heads)
        return seeds, heads, 100 - seeds - heads

    @property
    def needed(self) -> str:
        """Return how many seeds bring a claim's interval to what matters, in words; "" if it is no claim."""
        if not isinstance(self.entry, comparisons.Claim):
            return ""
        band = f"±{cells.number(self.entry.matters)}"
        if self.entry.seeds_needed is None:
            return f"no number of seeds reaches {band}"
        return f"{band} needs {self.entry.seeds_needed} seeds"


def of(entry: comparisons.Claim | comparisons.Comparison) -> Split | None:
    """Return the split of a difference, or None with one seed, without known clips, or without any variance.

    Args:
        entry: a claim or comparison with two-part interval.
    """
    seeds, clips = entry.seed_variance, entry.clip_variance
    if seeds is None or clips is None or entry.n < 2:
        return None
    seed_part = seeds / entry.n
    head_part = min(seed_part, (entry.head_variance or 0.0) / entry.n)
    total = seed_part + clips
    if not total > 0:
        return None
    return Split(
        entry,
        (seed_part - head_part) / total,
        head_part / total,
        clips / total,
        entry.head_variance is not None,
    )


def splits(table: results_table.Table, metrics: Sequence[str]) -> list[Split]:
    """Return the splits of a table: claims first, then what is exploratory in the same metrics.

    Args:
        table: the table.
        metrics: the claimed metrics, or all.
    """
    entries: list[comparisons.Claim | comparisons.Comparison] = [*table.claims, *table.paired]
    found = [of(entry) for entry in entries if entry.metric in metrics]
    return [split for split in found if split is not None]
