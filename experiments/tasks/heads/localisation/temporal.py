"""Fit and read a temporal head on sequences of window features: segments in seconds for every video."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.features import window_sequences
from prismlab.experiments.tasks.heads import head_grid, probe
from prismlab.experiments.tasks.heads.localisation import localisation_fit, segment_pyramid, soft_suppression
from prismlab.experiments.tasks.interface import items, segments

EXTERNAL = 2  # classes of a video that an external classifier names; G-TAD and ActionFormer take two
# Predictions and videos -> the number by which learning rates are compared; higher is better.
Measure = Callable[[segments.Predicted, items.ItemSet], float]


@dataclasses.dataclass(frozen=True)
class Temporal:
    """A temporal head with its training and what is done with its segments.

    Args:
        pyramid: the head.
        training: hyperparameters.
        suppression: of overlapping segments.
    """

    pyramid: segment_pyramid.SegmentPyramid = dataclasses.field(
        default_factory=segment_pyramid.SegmentPyramid
    )
    training: localisation_fit.Training = dataclasses.field(default_factory=localisation_fit.Training)
    suppression: soft_suppression.SoftSuppression = dataclasses.field(
        default_factory=soft_suppression.SoftSuppression
    )

    def predict(
        self,
        train: window_sequences.Sequences,
        test: window_sequences.Sequences,
        measure: Measure,
        *,
        seed: int,
        shuffled: bool = False,
        external: Float32[np.ndarray, "n c"] | None = None,
    ) -> tuple[list[segments.Predicted], list[segments.Predicted], dict[str, Any]]:
        """Train, select a rate on held-out training videos, and predict the segments of test videos.

        Args:
            train, test: sequences.
            measure: compares rates.
            seed: the experiment's seed.
            shuffled: train with the annotations of other videos: the control.
            external: scores of another classifier for the test videos, or None.

        Returns:
            Segments of each head seed; the same with classes from `external` (empty without it); and facts.
        """
        steps = self.pyramid.padded(train.length)
        targets = self._targets(train, steps, seed if shuffled else None)
        rows = np.unique(train.rows[train.rows >= 0])
        width = train.features.take(rows[:1]).shape[-1]
        shift, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
        if self.training.standardise:
            mean, deviation = head_grid.moments(train.features, rows, 16 * self.training.batch_size)
            shift, scale = mean.astype(np.float32), (1.0 / (deviation + 1e-6)).astype(np.float32)
        shown = lambda sequences, videos, length: _shown(sequences, videos, length, shift, scale)

        def batch(videos: Int64[np.ndarray, " b"]) -> tuple[Any, ...]:
            return *shown(train, videos, steps), *(each[videos] for each in targets)

        def fitted(videos: Int64[np.ndarray, " n"]) -> localisation_fit.Fitted:
            make = lambda *, key: self.pyramid.build(width, len(train.found.classes), key=key)
            return localisation_fit.fit(make, self.pyramid.loss, batch, videos, self.training, seed=seed)

        def held_out(heads: Sequence[Any], videos: Int64[np.ndarray, " n"]) -> float:
            part = train.found.subset(videos.tolist())
            said = [self._segments(head, train, videos, shown) for head in heads]
            return float(np.mean([measure(each, part) for each in said]))

        held = probe.held_out(train.found, self.training.held_out)
        heads, facts = localisation_fit.select(self.training, held, fitted, held_out)
        everything = np.arange(len(test))
        said = [self._segments(head, test, everything, shown) for head in heads]
        other = [] if external is None else [
            self._segments(head, test, everything, shown, external) for head in heads
        ]  # fmt: skip
        return said, other, facts

    def _targets(
        self, train: window_sequences.Sequences, steps: int, shuffle: int | None
    ) -> tuple[Float32[np.ndarray, "n m c"], Float32[np.ndarray, "n m 2"], Float32[np.ndarray, "n c"]]:
        """Return the targets of all places of all training videos, of other videos if they are shuffled."""
        classes, made = len(train.found.classes), []
        order = np.arange(len(train))
        if shuffle is not None:
            drawn = np.random.default_rng([shuffle, 1]).permutation(len(train))
            order[drawn] = np.roll(drawn, 1)
        if not any(item.extra.get(segments.SEGMENTS) for item in train.found.items):
            raise errors.UserError(f"{train.found.name}: no training video has an annotated action")
        for row in order:
            item = train.found.items[row]
            # Parts beyond the video and actions without length cannot be learned.
            ends = [(each, min(each.end, item.extra[segments.DURATION]))
                    for each in item.extra.get(segments.SEGMENTS, ())]  # fmt: skip
            kept = [(each.start, end, each.label) for each, end in ends if end > each.start]
            start, end, label = np.asarray(kept, float).reshape(-1, 3).T
            first, step = train.first, train.step
            hot, far = self.pyramid.targets(
                (start - first) / step, (end - first) / step, label.astype(np.int64), steps, classes
            )
            video = np.zeros(classes, np.float32)
            video[label.astype(np.int64)] = 1.0
            made.append((hot, far, video))
        hot, far, video = (np.stack(each) for each in zip(*made))
        return hot, far, video

    def _segments(
        self,
        head: Any,
        sequences: window_sequences.Sequences,
        videos: Int64[np.ndarray, " n"],
        shown: Callable[..., tuple[Array, Array]],
        external: Float32[np.ndarray, "n c"] | None = None,
    ) -> segments.Predicted:
        """Return the segments of videos, numbered in their order.

        With `external`, a place's score is its surest class, times the score of each of the `EXTERNAL` surest
        classes of the video.
        """
        steps = self.pyramid.padded(sequences.length)
        times, size = self.pyramid.places(steps)[0], self.training.batch_size
        found: list[segments.Predicted] = []
        for first in range(0, len(videos), size):
            piece = videos[first : first + size]
            padded = np.concatenate([piece, np.repeat(piece[-1:], size - len(piece))])
            scores, far, _ = (
                np.asarray(each) for each in _read(self.pyramid, head, *shown(sequences, padded, steps))
            )
            for place, video in enumerate(piece.tolist()):
                duration = float(sequences.found.items[video].extra[segments.DURATION])
                own = scores[place]
                if external is not None:
                    surest = np.argsort(-external[video], kind="stable")[:EXTERNAL]
                    own = np.zeros_like(own)
                    own[:, surest] = scores[place].max(axis=1, keepdims=True) * external[video, surest]
                bounds = (times[:, None] + far[place] * np.asarray([-1.0, 1.0])) * sequences.step
                bounds = bounds + sequences.first
                bounds = np.clip(bounds, 0.0, duration)
                at, label = np.nonzero(own >= self.suppression.least)
                one = segments.Predicted(
                    np.full(len(at), first + place), label, bounds[at, 0], bounds[at, 1],
                    own[at, label].astype(float),
                )  # fmt: skip
                found.append(self.suppression(one.where(one.end > one.start)))
        return segments.Predicted(
            *(np.concatenate([getattr(each, field.name) for each in found])
              for field in dataclasses.fields(segments.Predicted))
        )  # fmt: skip


@eqx.filter_jit
def _read(pyramid: segment_pyramid.SegmentPyramid, head: Any, x: Array, present: Array) -> Any:
    """Return what a head says; compiled once for heads of one size."""
    return pyramid.read(head, x, present)


def _shown(
    sequences: window_sequences.Sequences,
    videos: Int64[np.ndarray, " b"],
    steps: int,
    shift: Float32[np.ndarray, " d"],
    scale: Float32[np.ndarray, " d"],
) -> tuple[Array, Array]:
    x, present = sequences.take(videos)
    missing = ((0, 0), (0, steps - x.shape[1]))
    x = (x - shift) * scale * present[..., None]
    return jnp.asarray(np.pad(x, (*missing, (0, 0)))), jnp.asarray(np.pad(present, missing))
