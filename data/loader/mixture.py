"""Mixture schedule: which source each global batch, or each of its clips, comes from, by weight.

With `Alternate` every global batch comes from a single source, with low discrepancy, so contrastive negatives
cannot be recognized by their source. With `Mixed` the source is drawn for each clip.

Source: VideoPrism 2.3.1 (alternating gradient descent, after Akbari et al. 2023) and Table 22 (both).
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grain
import numpy as np

from prismlab.core import errors


def schedule(weights: tuple[float, ...], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of each step and the number of earlier batches of that source.

    After any number of steps each source is within one batch of its fraction, and a prefix does not depend on
    the number of steps. Picking the source that lags most would break this bound when many small sources
    are mixed with two large ones; the eligible source with the earliest deadline is picked instead.

    Args:
        weights: relative weights, all > 0.
        steps: number of steps.

    Returns:
        int64 [steps], index of the source; int64 [steps], batches of that source before this step.

    Source: Tijdeman 1980, The chairman assignment problem (deviation at most 1 - 1 / (2 n - 2)).
    """
    share = np.asarray(weights, float) / np.sum(weights)
    slack = 1 / max(2, 2 * len(share) - 2)
    given = np.zeros(len(share), np.int64)
    source, turn = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for step in range(steps):
        lag = share * (step + 1) - given
        # Rounded so that ties go to the first source on every machine.
        may_go = np.round(lag - slack, 9) >= 0
        deadline = np.where(may_go, np.round((1 - slack - lag) / share, 9), np.inf)
        next_source = int(np.argmin(deadline))
        source[step], turn[step] = next_source, given[next_source]
        given[next_source] += 1
    return source, turn


@dataclasses.dataclass(frozen=True)
class Phase:
    """Change of the mixture weights from a given step on.

    Args:
        start: first step of the phase, 1 or more.
        weights: source -> relative weight; sources not listed are not used in this phase.
    """

    start: int
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.start < 1:
            raise errors.UserError(f"a phase must start at step 1 or later, got {self.start}")
        if not self.weights:
            raise errors.UserError("a phase must have at least one source")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Mixture weights of every step, as a pure function of the step.

    Each phase is scheduled separately, so its weights hold within one batch after any number of its steps.
    A source continues where it stopped in an earlier phase.

    Args:
        names: the sources, in order.
        phases: (first step, weight of each source or 0 if not used), by increasing step from 0.
    """

    names: tuple[str, ...]
    phases: tuple[tuple[int, tuple[float, ...]], ...]

    @classmethod
    def of(
        cls, names: Sequence[str], weights: Mapping[str, float] | None, later: Sequence[Phase] = ()
    ) -> "Plan":
        """Build the plan from the settings of a line.

        Args:
            names: the sources, in order.
            weights: source -> weight from step 0 on, or None for equal weights; sources of later phases may
                be left out, and are not used before then.
            later: later phases.

        Raises:
            UserError: weights that do not match the sources, or phases whose start steps do not increase.
        """
        delayed = {name for phase in later for name in phase.weights} if weights is not None else set()
        first = [name for name in names if name in (weights or names) or name not in delayed]
        opening = dict(zip(first, weights_of(first, weights)))
        phases = [(0, tuple(opening.get(name, 0.0) for name in names))]
        for phase in later:
            unknown = sorted(set(phase.weights) - set(names))
            if unknown:
                raise errors.UserError(
                    f"the phase from step {phase.start} names {unknown}, expected some of {sorted(names)}"
                )
            if phase.start <= phases[-1][0]:
                raise errors.UserError(
                    f"phases must start at increasing steps, got {phase.start} after {phases[-1][0]}"
                )
            own = [name for name in names if name in phase.weights]
            given = dict(zip(own, weights_of(own, phase.weights)))
            phases.append((phase.start, tuple(given.get(name, 0.0) for name in names)))
        return cls(tuple(names), tuple(phases))

    def schedule(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the source of each step and its number of earlier batches; see `schedule`."""
        sources, turns = [], []
        given = np.zeros(len(self.names), np.int64)
        for start, end, weights in self._spans(steps):
            own = np.flatnonzero(weights)
            source, turn = schedule(tuple(weights[i] for i in own), end - start)
            sources.append(own[source])
            turns.append(turn + given[own[source]])
            given += np.bincount(sources[-1], minlength=len(given))
        return np.concatenate(sources or [given[:0]]), np.concatenate(turns or [given[:0]])

    def draws(self, groups: int, steps: int, seed: int) -> np.ndarray:
        """Return the number of clips of each source in each batch, if every clip draws its source.

        Args:
            groups: clips of a global batch.
            steps: number of batches; a prefix does not depend on it.
            seed: of the draws.

        Returns:
            int64 [steps, sources], each row with the sum groups.
        """
        found = np.zeros((steps, len(self.names)), np.int64)
        for start, end, weights in self._spans(steps):
            random = np.random.Generator(np.random.Philox(key=[seed, start]))
            found[start:end] = random.multinomial(groups, np.asarray(weights) / np.sum(weights), end - start)
        return found

    def declared(self, steps: int) -> np.ndarray:
        """Return the expected number of batches of each source in the first `steps` steps, as float64."""
        total = np.zeros(len(self.names))
        for start, end, weights in self._spans(steps):
            total += (end - start) * np.asarray(weights) / np.sum(weights)
        return total

    def _spans(self, steps: int) -> Iterator[tuple[int, int, tuple[float, ...]]]:
        for (start, weights), end in zip(self.phases, [start for start, _ in self.phases[1:]] + [steps]):
            if start < min(end, steps):
                yield start, min(end, steps), weights


class Alternate(grain.transforms.DatasetSelectionMap):
    """Grain selection map of the schedule: item i of a host's stream -> (source, item of that source).

    An item is a clip, possibly with several views. Source items are numbered across epochs: item e * n + k is
    the k-th item of epoch e.

    Args:
        plan: the mixture weights.
        place: groups of a global batch and the part that this host reads.
        steps: length of the stream in batches.
        clips: number of clips of each source, to drop the incomplete last batch of every epoch; None to let
            batches span epochs.
    """

    def __init__(self, plan: Plan, place: Any, steps: int, clips: Sequence[int] | None = None):
        self._source, self._turn = plan.schedule(steps)
        self._place, self._clips, self._sources = place, clips, len(plan.names)

    def __len__(self) -> int:
        return len(self._source) * self._place.own

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.item(self._place.globally(index))

    def batches(self, steps: int) -> np.ndarray:
        """Return the number of batches of each source in the first steps."""
        return np.bincount(self._source[:steps], minlength=self._sources).astype(float)

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


class Mixed(grain.transforms.DatasetSelectionMap):
    """Grain selection map of mixed batches: the source of each clip is drawn by weight.

    The clips of a source are read in order, as with `Alternate`; their places in a batch are random.

    Args:
        plan: the mixture weights.
        place: groups of a global batch and the part that this host reads.
        steps: length of the stream in batches.
        seed: of the draws.
    """

    def __init__(self, plan: Plan, place: Any, steps: int, seed: int):
        self._counts = plan.draws(place.groups, steps, seed)
        self._before = np.cumsum(self._counts, axis=0) - self._counts
        self._place, self._seed = place, seed

    def __len__(self) -> int:
        return len(self._counts) * self._place.own

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.item(self._place.globally(index))

    def batches(self, steps: int) -> np.ndarray:
        """Return the number of clips of each source in the first steps, in batches."""
        shares: np.ndarray = self._counts[:steps].sum(axis=0) / self._place.groups
        return shares

    def item(self, group: int) -> tuple[int, int]:
        """Return (source, item of that source) of a group of the global stream."""
        step, place = divmod(int(group), self._place.groups)
        sources, ranks = _arranged(self._seed, step, tuple(self._counts[step].tolist()))
        source = int(sources[place])
        return source, int(self._before[step, source] + ranks[place])


@functools.lru_cache(maxsize=16)
def _arranged(seed: int, step: int, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the source of each place of a batch, in random order, and its rank within its source."""
    random = np.random.Generator(np.random.Philox(key=[seed + 1, step]))
    sources = random.permutation(np.repeat(np.arange(len(counts)), counts))
    ranks = np.empty_like(sources)
    ranks[np.argsort(sources, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return sources, ranks


def weights_of(names: list[str], weights: Mapping[str, float] | None) -> tuple[float, ...]:
    """Return one positive weight per source; equal weights for None.

    Args:
        names: the sources.
        weights: source -> weight, naming exactly the sources, or None.

    Raises:
        UserError: an unknown or missing source, or a weight that is not positive.
    """
    if weights is None:
        return (1.0,) * len(names)
    if set(weights) != set(names):
        raise errors.UserError(
            f"weights must name exactly the sources {sorted(names)}, got {sorted(weights)}"
        )
    if any(not 0 < value < math.inf for value in weights.values()):
        raise errors.UserError(
            f"weights must be positive, got {dict(weights)}; remove a source to disable it"
        )
    return tuple(float(weights[name]) for name in names)
