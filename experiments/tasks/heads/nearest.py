"""k nearest neighbours on pooled features: an evaluation without training."""

import dataclasses

import numpy as np

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import probe


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Classes of the k training items with the highest cosine similarity.

    A training item weighs exp(similarity / temperature). Views are averaged to one vector of unit length.

    Args:
        neighbours: k; the number of training items if it is smaller.
        temperature: of the weights, > 0.

    Source: Wu et al. 2018; k = 20 and temperature .07 as in DINO.
    """

    neighbours: int = 20
    temperature: float = 0.07

    def predict(
        self, train: feature_set.Encoded, test: feature_set.Encoded, measure: probe.Measure, *, seed: int
    ) -> probe.Predictions:
        """Return the share of the weights of each class; `measure` and `seed` are unused."""
        del measure, seed
        if self.neighbours < 1 or self.temperature <= 0:
            raise errors.UserError("nearest: expected neighbours >= 1 and temperature > 0")
        bank, queries = _unit(train.features), _unit(test.features)
        targets = train.found.multi_hot()
        count = min(self.neighbours, len(bank))
        scores = np.zeros((len(queries), targets.shape[1]), np.float32)
        for start in range(0, len(queries), 1024):
            similarity = queries[start : start + 1024] @ bank.T
            # A stable sort: equal similarities are taken in the order of the training items.
            near = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
            weights = np.exp(
                np.take_along_axis(similarity, near, 1) / self.temperature - 1 / self.temperature
            )
            weighted = (weights[:, :, None] * targets[near]).sum(1)
            scores[start : start + 1024] = weighted / weights.sum(1, keepdims=True)
        return probe.Predictions(scores[None], {"neighbours": count, "train items": len(bank)})


def _unit(features: feature_set.FeatureSet) -> np.ndarray:
    parts = []
    for start in range(0, len(features), 256):
        x = features.take(np.arange(start, min(start + 256, len(features)))).astype(np.float64)
        x = x.mean(axis=tuple(range(1, x.ndim - 1)))
        parts.append(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
    return np.concatenate(parts).astype(np.float32)
