"""The test clips on which two rows of a claim disagree most."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from prismlab.experiments.report import page_facts
from prismlab.experiments.statistics import comparisons, item_scores, results_table

MOST_CLIPS = 6  # of each kind: gained and lost


def of(
    table: results_table.Table,
    items: item_scores.Found,
    picture: Callable[[str], bytes | None] = lambda key: None,
) -> tuple[page_facts.Disagreements, ...]:
    """Return the clips of each claim whose rows were tested on the same items.

    Args:
        table: the table.
        items: outcomes of single items, from `item_scores.read`.
        picture: name of a clip -> PNG, or None.
    """
    found = [_of_claim(claim, items, picture) for claim in table.claims]
    return tuple(each for each in found if each is not None)


def _of_claim(
    claim: comparisons.Claim, items: item_scores.Found, picture: Callable[[str], bytes | None]
) -> page_facts.Disagreements | None:
    pairs = [
        (items.get((claim.row, seed, claim.metric)), items.get((claim.reference, seed, claim.metric)))
        for seed in claim.seeds or ()
    ]
    there = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    if not there or len(there) < len(pairs):
        return None
    keys = there[0][0].keys
    if any(each.keys != keys for pair in there for each in pair):
        return None
    ours, theirs = (np.mean([pair[side].values for pair in there], axis=0) for side in (0, 1))
    change = ours - theirs
    order = np.argsort(-change, kind="stable")

    def listed(places: Float[np.ndarray, " n"]) -> tuple[page_facts.Disagreement, ...]:
        return tuple(
            page_facts.Disagreement(
                keys[place], float(ours[place]), float(theirs[place]), picture(keys[place])
            )
            for place in places[:MOST_CLIPS].tolist()
        )

    counts = int((change > 0).sum()), int((change < 0).sum()), int((change == 0).sum())
    gained = listed(order[: counts[0]])
    lost = listed(order[::-1][: counts[1]])
    return page_facts.Disagreements(claim.row, claim.reference, claim.metric, gained, lost, counts)
