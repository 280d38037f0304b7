"""Fit and read a head of actions in boxes on the tokens of clips around keyframes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import head_grid, probe
from prismlab.experiments.tasks.heads.localisation import box_query, localisation_fit
from prismlab.experiments.tasks.interface import boxes, items

# Scored boxes and keyframes -> the number by which learning rates are compared; higher is better.
Measure = Callable[[boxes.Scored, items.ItemSet], float]
# Boxes of a keyframe with the detector's score of each.
Given = Sequence[boxes.Detection]


@dataclasses.dataclass(frozen=True)
class Spatial:
    """A head of actions in boxes with its training.

    Args:
        query: the head.
        training: hyperparameters.
    """

    query: box_query.BoxQuery = dataclasses.field(default_factory=box_query.BoxQuery)
    training: localisation_fit.Training = dataclasses.field(default_factory=localisation_fit.Training)

    def predict(
        self,
        train: feature_set.Encoded,
        test: feature_set.Encoded,
        given: Sequence[Given],
        measure: Measure,
        *,
        frames: int,
        seed: int,
        shuffled: bool = False,
    ) -> tuple[list[boxes.Scored], dict[str, Any]]:
        """Train on annotated boxes, select a rate on held-out ones, and score given boxes of test keyframes.

        Args:
            train, test: keyframes and their tokens.
            given: boxes of each test keyframe; may be empty.
            measure: compares rates, on annotated boxes of held-out training keyframes.
            frames: frames of a view.
            seed: the experiment's seed.
            shuffled: train with the labels of other boxes: the control.

        Returns:
            Scored boxes of each head seed, and facts.
        """
        found, classes = train.found, len(train.found.classes)
        shares, hot, real = _annotated(found, classes, seed if shuffled else None)
        rows = np.flatnonzero(real.any(axis=1))
        first = train.features.take(np.zeros(1, np.int64)).shape
        if first[1] != 1:
            raise errors.UserError(
                f"boxes belong to one view, got {first[1]}; set protocols.Protocol.clips=1"
            )
        shift, scale = np.zeros(first[-1], np.float32), np.ones(first[-1], np.float32)
        if self.training.standardise:
            mean, deviation = head_grid.moments(train.features, rows, self.training.batch_size)
            shift, scale = mean.astype(np.float32), (1.0 / (deviation + 1e-6)).astype(np.float32)
        tokens = lambda features, places: (features.take(places)[:, 0] - shift) * scale

        def batch(places: Int64[np.ndarray, " b"]) -> tuple[Any, ...]:
            at = rows[places]
            return tokens(train.features, at), shares[at], hot[at], real[at]

        def fitted(places: Int64[np.ndarray, " n"]) -> localisation_fit.Fitted:
            make = lambda *, key: self.query.build(first[2:], frames, classes, key=key)
            return localisation_fit.fit(make, self.query.loss, batch, places, self.training, seed=seed)

        def held_out(heads: Sequence[Any], places: Int64[np.ndarray, " n"]) -> float:
            part = found.subset(rows[places].tolist())
            own = [[boxes.Detection(each.shares, 1.0) for each in item.extra[boxes.BOXES]]
                   for item in part.items]  # fmt: skip
            features = feature_set.Rows(train.features, rows[places])
            values = [measure(self._scored(head, features, own, classes, tokens), part) for head in heads]
            return float(np.mean(values))

        held = probe.held_out(found.subset(rows.tolist()), self.training.held_out)
        heads, facts = localisation_fit.select(self.training, held, fitted, held_out)
        facts["train boxes"] = int(real[rows].sum())
        return [self._scored(head, test.features, given, classes, tokens) for head in heads], facts

    def _scored(
        self,
        head: Any,
        features: feature_set.FeatureSet,
        given: Sequence[Given],
        classes: int,
        tokens: Callable[[feature_set.FeatureSet, np.ndarray], Float32[np.ndarray, "b s d"]],
    ) -> boxes.Scored:
        size = self.training.batch_size
        most = max(1, max(map(len, given), default=1))
        parts: list[tuple[Any, ...]] = []
        for first in range(0, len(given), size):
            rows = list(range(first, min(first + size, len(given))))
            padded = np.asarray([*rows, *rows[-1:] * (size - len(rows))])
            shares = np.tile(np.asarray([0, 0, 1, 1], np.float32), (size, most, 1))
            for place, row in enumerate(rows):
                for number, one in enumerate(given[row]):
                    shares[place, number] = one.shares
            scores = np.asarray(_read(head, jnp.asarray(tokens(features, padded)), jnp.asarray(shares)))
            for place, row in enumerate(rows):
                count = len(given[row])
                surely = np.asarray([one.score for one in given[row]], float).reshape(-1, 1)
                own = np.asarray([one.shares for one in given[row]], float).reshape(-1, 4)
                parts.append(
                    (np.full(count * classes, row), np.repeat(own, classes, axis=0),
                     np.tile(np.arange(classes), count), (scores[place, :count] * surely).reshape(-1))
                )  # fmt: skip
        at, place_of, label, score = (np.concatenate(each) for each in zip(*parts))
        return boxes.Scored(at.astype(np.int64), place_of, label, score.astype(float))


@eqx.filter_jit
def _read(head: Any, x: Any, shares: Any) -> Any:
    """Return the scores of boxes; compiled once for heads of one size."""
    return jax.nn.sigmoid(head(x, shares))


def _annotated(found: items.ItemSet, classes: int, shuffle: int | None) -> tuple[np.ndarray, ...]:
    """Return boxes [n, q, 4], their classes [n, q, c] and which exist [n, q], as float32 arrays.

    Args:
        found: keyframes.
        classes: number of classes.
        shuffle: seed by which the labels of all boxes are exchanged; None for their own.
    """
    own = [item.extra.get(boxes.BOXES, ()) for item in found.items]
    most = max(map(len, own), default=0)
    if not most:
        raise errors.UserError(f"{found.name}: no training keyframe has an annotated box")
    shares = np.tile(np.asarray([0, 0, 1, 1], np.float32), (len(own), most, 1))
    hot = np.zeros((len(own), most, classes), np.float32)
    real = np.zeros((len(own), most), np.float32)
    for row, each in enumerate(own):
        for number, box in enumerate(each):
            shares[row, number], real[row, number] = box.shares, 1.0
            hot[row, number, list(box.labels)] = 1.0
    if shuffle is not None:
        at, place = np.nonzero(real)
        drawn = np.random.default_rng([shuffle, 1]).permutation(len(at))
        hot[at, place] = hot[at[drawn], place[drawn]]
    return shares, hot, real
