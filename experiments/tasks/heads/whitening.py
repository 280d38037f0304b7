"""Whitening: rotate and scale features so that their channels are uncorrelated and of variance about 1."""

import dataclasses

import numpy as np
from jaxtyping import Float, Float32, Int64

from prismlab.experiments.tasks.features import feature_set

MOST_VECTORS = 100_000  # from which the covariance is estimated
RIDGE = 1e-3  # of the mean variance, added to each


@dataclasses.dataclass(frozen=True)
class Whitened:
    """Features after a linear map, which a linear layer before the head could learn.

    Args:
        features: the features.
        shift: their mean.
        matrix: multiplies what is left of them.
    """

    features: feature_set.FeatureSet
    shift: Float32[np.ndarray, " d"]
    matrix: Float32[np.ndarray, "d d"]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.features)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n v ..."]:
        """Return the whitened features of these rows."""
        return (self.features.take(rows) - self.shift) @ self.matrix


def whitened(
    train: feature_set.Encoded, test: feature_set.Encoded
) -> tuple[feature_set.Encoded, feature_set.Encoded]:
    """Return both splits, whitened by mean and covariance of the training features.

    Args:
        train: training items; their features are read at once.
        test: test items.
    """
    values = train.features.take(np.arange(len(train.features)))
    shift, matrix = fitted(values.reshape(-1, values.shape[-1]))
    made = [
        dataclasses.replace(each, features=Whitened(each.features, shift, matrix)) for each in (train, test)
    ]
    return made[0], made[1]


def fitted(flat: Float[np.ndarray, "n d"]) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, "d d"]]:
    """Return the mean of vectors and the matrix that whitens what is left of them."""
    values, vectors = np.linalg.eigh(np.cov(flat[:: max(1, len(flat) // MOST_VECTORS)].T))
    matrix = vectors / np.sqrt(values + RIDGE * values.mean())
    return flat.mean(0, dtype=np.float64).astype(np.float32), matrix.astype(np.float32)
