"""Intervals over test items for metrics that are no mean over items: jackknife and bootstrap.

Items of one group depend on each other (clips cut from one video, captions of one clip), so whole groups are
left out or drawn. The intervals are for new test items of the same kind; training seeds are no part of them.

Sources: Shao and Tu 1995, The Jackknife and Bootstrap (deletion of groups, 2.2; percentiles, 4.1). The
jackknife costs a metric for each part and needs a smooth metric, such as an average precision; the bootstrap
also covers medians.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy  # its parts are imported at their first use
from jaxtyping import Int64

from prismlab.core import errors

PARTS = 50  # of the jackknife
SAMPLES = 500  # of the bootstrap

# Rows of items -> the metric of these items.
Value = Callable[[Int64[np.ndarray, " n"]], float]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Args:
        half: half of its width.
        method: how it was computed.
    """

    half: float
    method: str

    def kept(self) -> dict[str, Any]:
        """Return the interval as plain data, to be stored beside a score."""
        return {"interval": self.half, "interval by": self.method}


def jackknife(value: Value, groups: Sequence[str]) -> Interval | None:
    """Return the interval from the values of all items but one part, for each of up to `PARTS` parts.

    Args:
        value: the metric of some rows, ascending without repetition.
        groups: name of the group of each item.

    Returns:
        Student's t times the jackknife's standard error; None for fewer than two groups, or if the metric has
        no value without one of the parts (it holds the only items of a class that counts), or the same value
        without each of them (all items are right, for example).
    """
    names = sorted(set(groups), key=lambda name: hashlib.sha256(name.encode()).digest())
    count = min(PARTS, len(names))
    if count < 2:
        return None
    # By hash: files list items class by class, and a part must not be a class.
    part_of = {name: place % count for place, name in enumerate(names)}
    part = np.asarray([part_of[name] for name in groups])
    try:
        values = np.asarray([value(np.flatnonzero(part != left_out)) for left_out in range(count)])
    except errors.UserError:
        return None
    error = np.sqrt((count - 1) / count * np.square(values - values.mean()).sum())
    half = float(scipy.special.stdtrit(count - 1, 0.975) * error)
    what = "one group" if count == len(names) else "a part of the groups"
    return Interval(half, f"jackknife over {count} test sets without {what} of items") if _is(half) else None


def bootstrap(value: Value, groups: Sequence[str]) -> Interval | None:
    """Return the interval from the values of `SAMPLES` test sets of groups drawn with repetition.

    Args:
        value: the metric of some rows, which may repeat.
        groups: name of the group of each item.

    Returns:
        Half of the distance between the 2.5 and the 97.5 percentile; None for fewer than two groups, or if
        all draws have the same value.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None
    order = np.argsort(index, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(index))[:-1])
    rng = np.random.default_rng(0)
    values = [
        value(np.concatenate([rows[group] for group in rng.integers(len(rows), size=len(rows))]))
        for _ in range(SAMPLES)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    half = float(high - low) / 2
    return Interval(half, f"bootstrap of {SAMPLES} draws of the groups of items") if _is(half) else None


def _is(half: float) -> bool:
    """Return whether there is an interval: without any spread, few items say nothing of new ones."""
    return bool(np.isfinite(half) and half > 0)
