"""What is kept of each test item beside a score, for statistics over items: outcomes, likelihoods, scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import measured, resampling

# Class scores are kept up to this many numbers (head seeds x items x classes), about 20 MB of text.
MOST_SCORES = 2_000_000
SMALLEST = 1e-12  # probabilities below are taken as this
DIGITS = 6  # of outcomes and class scores


def log_likelihood(scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> Float[np.ndarray, " n"]:
    """Return the log-probability of the labels of each item, in nats.

    Args:
        scores: probabilities; one that is not finite counts as 0.
        found: the items.

    Returns:
        log p of the label, summed over label sets; of multi-label items the sum over all classes of log p or
        log (1 - p).
    """
    clean = np.where(np.isfinite(scores), scores, 0.0).astype(np.float64)
    log = lambda p: np.log(np.clip(p, SMALLEST, 1.0))
    truth = found.multi_hot().astype(bool)
    absent = log(1.0 - clean) if found.multi_label else 0.0
    return np.where(truth, log(clean), absent).sum(axis=1)


def of(
    scores: Float32[np.ndarray, "k n c"],
    found: items.ItemSet,
    made: Sequence[measured.Measured],
    metric: measured.Metric,
) -> dict[str, Any]:
    """Return the outcomes of items as plain data.

    Args:
        scores: probabilities of each head seed.
        found: the items.
        made: the value of the metric for each head seed.
        metric: the metric.

    Returns:
        "keys" and "groups" [n], "log_likelihood" [k][n]; "outcomes" [k][n] of a metric that is a mean over
        items; of another one "interval" and "interval by" (`resampling.jackknife`), and "scores" [k][n][c]
        and "labels" [n], from which it can be computed for any choice of items, unless there are more than
        `MOST_SCORES`.
    """
    kept: dict[str, Any] = {
        "keys": [item.key for item in found.items],
        "groups": [item.group for item in found.items],
        "log_likelihood": [log_likelihood(each, found).round(5).tolist() for each in scores],
    }
    if all(each.outcomes is not None for each in made):
        kept["outcomes"] = [np.asarray(each.outcomes).round(DIGITS).tolist() for each in made]
        return kept
    kept |= interval_of(metric, scores, found)
    if scores.size <= MOST_SCORES:
        finite = np.where(np.isfinite(scores), scores, 0.0)
        kept["scores"] = finite.astype(np.float64).round(DIGITS).tolist()
        kept["labels"] = [list(item.labels) for item in found.items]
    return kept


def interval_of(
    metric: measured.Metric, scores: Float[np.ndarray, "k n c"], found: items.ItemSet
) -> dict[str, Any]:
    """Return the interval of the mean of a metric over head seeds as plain data, or {} if there is none."""

    def value(rows: np.ndarray) -> float:
        part = found.subset(rows.tolist())
        return float(np.mean([metric(each[rows], part).value for each in scores]))

    made = resampling.jackknife(value, [item.group for item in found.items])
    return {} if made is None else made.kept()


def of_mean(
    made: measured.Measured, named: Sequence[tuple[str, str]], **further: Sequence[Any]
) -> dict[str, Any] | None:
    """Return the outcomes of a metric without heads as plain data, or None if it is no mean over items.

    Args:
        made: the metric.
        named: (key, group) of each item.
        further: more values of each item, by name.
    """
    if made.outcomes is None:
        return None
    keys, groups = ([name[part] for name in named] for part in (0, 1))
    return {"keys": keys, "groups": groups, "outcomes": [made.outcomes.round(DIGITS).tolist()], **further}
