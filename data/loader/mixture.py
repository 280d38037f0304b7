"""Which source each global batch comes from: alternating batches, weighted, with low discrepancy.

Every global batch comes from one source, so that no negative pair can be told apart by its source.

Source: VideoPrism 2.3.1 (alternating gradient descent, after Akbari et al. 2023).
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from prismlab.core import errors


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


@dataclasses.dataclass(frozen=True)
class Phase:
    """From one step on, other weights.

    Args:
        start: first step of the phase, 1 or more.
        weights: source -> relative weight; a source that is left out gives nothing in this phase.
    """

    start: int
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.start < 1:
            raise ValueError(f"a phase starts at step 1 or later, got {self.start}")
        if not self.weights:
            raise ValueError("a phase needs at least one source")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The weights of every step: a pure function of the step.

    Each phase is scheduled by itself, so that its own weights hold within one batch at each of its prefixes;
    a source goes on where it stopped, whatever lay between.

    Args:
        names: the sources, in order.
        phases: (first step, weight of each source, 0 where it is left out), rising from step 0.
    """

    names: tuple[str, ...]
    phases: tuple[tuple[int, tuple[float, ...]], ...]

    @classmethod
    def of(
        cls, names: Sequence[str], weights: Mapping[str, float] | None, later: Sequence[Phase] = ()
    ) -> "Plan":
        """Return the plan of a line.

        Args:
            names: the sources, in order.
            weights: source -> weight from step 0 on, or None for equal ones.
            later: phases that follow.

        Raises:
            UserError: weights that do not fit the sources, or phases that do not rise.
        """
        phases = [(0, weights_of(list(names), weights))]
        for phase in later:
            unknown = sorted(set(phase.weights) - set(names))
            if unknown:
                raise errors.UserError(
                    f"the phase from step {phase.start} names {unknown}, the sources are {sorted(names)}"
                )
            if phase.start <= phases[-1][0]:
                raise errors.UserError(
                    f"phases must start at rising steps, got {phase.start} after {phases[-1][0]}"
                )
            own = [name for name in names if name in phase.weights]
            given = dict(zip(own, weights_of(own, phase.weights)))
            phases.append((phase.start, tuple(given.get(name, 0.0) for name in names)))
        return cls(tuple(names), tuple(phases))

    def schedule(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the source of each step and how many batches it gave before; see `schedule`."""
        sources, turns = [], []
        given = np.zeros(len(self.names), np.int64)
        for start, end, weights in self._spans(steps):
            own = np.flatnonzero(weights)
            source, turn = schedule(tuple(weights[i] for i in own), end - start)
            sources.append(own[source])
            turns.append(turn + given[own[source]])
            given += np.bincount(sources[-1], minlength=len(given))
        return np.concatenate(sources or [given[:0]]), np.concatenate(turns or [given[:0]])

    def declared(self, steps: int) -> np.ndarray:
        """Return how many batches of each source the weights ask for in so many steps, as float64."""
        total = np.zeros(len(self.names))
        for start, end, weights in self._spans(steps):
            total += (end - start) * np.asarray(weights) / np.sum(weights)
        return total

    def _spans(self, steps: int) -> Iterator[tuple[int, int, tuple[float, ...]]]:
        for (start, weights), end in zip(self.phases, [start for start, _ in self.phases[1:]] + [steps]):
            if start < min(end, steps):
                yield start, min(end, steps), weights


class Alternate(grain.transforms.DatasetSelectionMap):
    """Grain's selection map of the schedule: item i of a host's stream -> (source, item of that source).

    An item is a clip, which may give several views. Source items count through the epochs: item e * n + k is
    the k-th of epoch e.

    Args:
        plan: the weights.
        place: groups of a global batch, and which of them this host reads.
        steps: length of the stream in batches.
        clips: for each source its number of clips where no epoch may end inside a batch (what is left of
            it is then skipped); None where epochs follow each other without a gap.
    """

    def __init__(self, plan: Plan, place: Any, steps: int, clips: Sequence[int] | None = None):
        self._source, self._turn = plan.schedule(steps)
        self._place, self._clips = place, clips

    def __len__(self) -> int:
        return len(self._source) * self._place.own

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.item(self._place.globally(index))

    def item(self, group: int) -> tuple[int, int]:
        """Return (source, item of that source) of a group of the global stream."""
        step, place = divmod(int(group), self._place.groups)
        source = int(self._source[step])
        item = int(self._turn[step]) * self._place.groups + place
        if self._clips is not None:
            total = self._clips[source]
            epoch, item = divmod(item, total // self._place.groups * self._place.groups)
            item += epoch * total
        return source, item


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
