"""Which source each global batch comes from: alternating batches, weighted, with low discrepancy.

Every global batch comes from one source, so that no negative pair can be told apart by its source.

Source: VideoPrism 2.3.1 (alternating gradient descent, after Akbari et al. 2023).
"""

from collections.abc import Mapping

import grain
import numpy as np

from core import errors


def schedule(weights: tuple[float, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of each step and how many batches that source gave before.

    The source that lags furthest behind its share goes next, so after any number of steps each
    source is within one batch of its share. A prefix never depends on how many steps follow.

    Args:
        weights: relative weights, all > 0.
        steps: number of steps.

    Returns:
        int64 [steps] index of the source, and int64 [steps] batches of that source before this step.
    """
    share = np.asarray(weights, float) / np.sum(weights)
    given = np.zeros(len(share), np.int64)
    source, turn = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for step in range(steps):
        # Rounding keeps equal lags equal, so that ties fall to the first source on every machine.
        next_source = int(np.argmax(np.round(share * (step + 1) - given, 9)))
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
        raise errors.UserError(f"weights must name exactly the sources {sorted(names)}, got {sorted(weights)}")
    if any(not value > 0 for value in weights.values()):
        raise errors.UserError(f"weights must be positive, got {dict(weights)}; leave a source out to switch it off")
    return tuple(float(weights[name]) for name in names)
