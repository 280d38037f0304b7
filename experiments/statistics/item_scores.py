"""Outcomes of single test items behind the scores of results.json, averaged over head seeds."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.statistics import results_table

MOST_BYTES = 2**29  # of one file of `scores/`
_ROUNDING = 1e-4  # outcomes are written with six digits
_ADVICE = "delete it and run the ablation again"


@dataclasses.dataclass(frozen=True)
class ItemScores:
    """What each test item contributes to one score.

    Args:
        keys: names of the items.
        groups: what each item depends on, such as the video that it was cut from.
        values: mean over head seeds; their mean is the score.
        heads: mean over items of each head seed; None if it is not known.
    """

    keys: tuple[str, ...]
    groups: tuple[str, ...]
    values: Float[np.ndarray, " items"]
    heads: Float[np.ndarray, " heads"] | None = None


Found = Mapping[tuple[str, int, str], ItemScores]  # (row label, seed, metric) -> items


@dataclasses.dataclass(frozen=True)
class _Kept:
    keys: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    outcomes: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        sizes = [len(self.groups), *(len(each) for each in self.outcomes or ())]
        if any(size != len(self.keys) for size in sizes):
            raise errors.UserError(f"expected {len(self.keys)} groups and outcomes, one a key, found {sizes}")


def read(home: filesystem.Path, results: Sequence[results_table.Result]) -> Found:
    """Read the items of all scores that have them: metrics that are a mean over items.

    Args:
        home: the store of the results: a folder with `scores/`.
        results: from its results.json.

    Returns:
        Scores without items, such as those of earlier versions, are left out.

    Raises:
        UserError: a file is missing, damaged or larger than `MOST_BYTES`.
    """
    found: dict[tuple[str, int, str], ItemScores] = {}
    places: dict[results_table.Items, list[tuple[str, int, str]]] = {}
    scores: dict[tuple[str, int, str], float] = {}
    for entry in results:
        for name, score in entry.metrics.items():
            if score.items is not None:
                places.setdefault(score.items, []).append((entry.label, entry.seed, name))
                scores[entry.label, entry.seed, name] = score.value
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # equal names are kept once
    for address in dict.fromkeys(place.address for place in places):
        path = home / "scores" / f"{address}.json"
        _check_size(path)
        read_now = results_table.read_scores(path)
        for place, wanted in places.items():
            if place.address != address or place.metric not in read_now:
                continue
            items = _items(path, read_now[place.metric], known)
            if items is not None:
                fits = [each for each in wanted if abs(scores[each] - items.values.mean()) < _ROUNDING]
                found |= dict.fromkeys(fits, items)
    return found


def _check_size(path: filesystem.Path) -> None:
    size, _ = filesystem.size_and_version(path)
    if size > MOST_BYTES:
        raise errors.UserError(
            f"expected at most {MOST_BYTES / 2**20:,.0f} MiB of scores in {path}, found "
            f"{size / 2**20:,.0f} MiB; {_ADVICE}"
        )


def _items(
    path: filesystem.Path, score: results_table.Score, known: dict[tuple[str, ...], tuple[str, ...]]
) -> ItemScores | None:
    if score.outcomes is None:
        return None
    try:
        kept = checked_json.parse(_Kept, dict(score.outcomes), "outcomes")
    except checked_json.Invalid as error:
        raise errors.UserError(f"{path} cannot be read ({error}); {_ADVICE}") from None
    if not kept.outcomes or not kept.keys:
        return None
    keys, groups = known.setdefault(kept.keys, kept.keys), known.setdefault(kept.groups, kept.groups)
    outcomes = np.asarray(kept.outcomes, np.float64)
    return ItemScores(keys, groups, outcomes.mean(axis=0), outcomes.mean(axis=1))
