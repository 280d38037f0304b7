"""Which source each global batch comes from: alternating batches, weighted, with low discrepancy.

Every global batch comes from one source, so that no negative pair can be told apart by its source.

Source: VideoPrism 2.3.1 (alternating gradient descent, after Akbari et al. 2023).
"""

import math
from collections.abc import Mapping

import grain
import numpy as np

from core import errors


def schedule(weights: tuple[float, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of each step and how many batches that source gave before.

    After any number of steps each source is within one batch of its share, and a prefix never depends on
    how many steps follow. Serving whoever lags furthest would not do: beside two large sources, many
    small ones fall behind together. So, of the sources that may already go, the one that must go first does.

    Args:
        weights: relative weights, all > 0.
        steps: number of steps.

    Returns:
        int64 [steps] index of the source, and int64 [steps] batches of that source before this step.

    Source: Tijdeman 1980, The chairman assignment problem (deviation at most 1 - 1 / (2 n - 2)).
    """
    share = np.asarray(weights, float) / np.sum(weights)
    slack = 1 / max(2, 2 * len(share) - 2)
    given = np.zeros(len(share), np.int64)
    source, turn = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for step in range(steps):
        lag = share * (step + 1) - given
        # Rounding keeps equal values equal, so that ties fall to the first source on every machine.
        may_go = np.round(lag - slack, 9) >= 0
        deadline = np.where(may_go, np.round((1 - slack - lag) / share, 9), np.inf)
        next_source = int(np.argmin(deadline))
        source[step], turn[step] = next_source, given[next_source]
        given[next_source] += 1
    return source, turn


class Alternate(grain.transforms.DatasetSelectionMap):
    """Grain's selection map of the schedule: item i of the stream -> (source, item of that source).

    Args:
        weights: relative weights of the sources.
        batch_size: global batch size.
        steps: length of the stream in batches.
    """

    def __init__(self, weights: tuple[float, ...], batch_size: int, steps: int):
        self._source, self._turn = schedule(weights, steps)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return len(self._source) * self._batch_size

    def __getitem__(self, index: int) -> tuple[int, int]:
        step, place = divmod(int(index), self._batch_size)
        return int(self._source[step]), int(self._turn[step]) * self._batch_size + place


def weights_of(names: list[str], weights: Mapping[str, float] | None) -> tuple[float, ...]:
    """Return one positive weight a source; equal ones when none are given.

    Args:
        names: the sources.
        weights: source -> weight, naming exactly the sources, or None.

    Raises:
        UserError: a name that is no source, a missing one, or a weight that is not positive.
    """
    if weights is None:
        return (1.0,) * len(names)
    if set(weights) != set(names):
        raise errors.UserError(
            f"weights must name exactly the sources {sorted(names)}, got {sorted(weights)}"
        )
    if any(not 0 < value < math.inf for value in weights.values()):
        raise errors.UserError(
            f"weights must be positive, got {dict(weights)}; leave a source out to switch it off"
        )
    return tuple(float(weights[name]) for name in names)
