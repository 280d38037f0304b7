"""Statistics of a matrix of features, one row an example; in float64 on the host."""

import numpy as np
from jaxtyping import Float, Int

from prismlab.core import errors


def effective_rank(features: Float[np.ndarray, "n d"]) -> float:
    """Return the exponential of the entropy of the normalised singular values, in [1, min(n, d)].

    Args:
        features: at least one row; a matrix of zeros has rank 1.

    Source: Garrido et al. 2023, RankMe, equation 1 (without centring).
    """
    values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    total = values.sum()
    if not total > 0:
        return 1.0
    shares = values / total
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def feature_deviation(features: Float[np.ndarray, "n d"]) -> float:
    """Return sqrt(d) times the mean standard deviation of the coordinates of rows of unit length.

    It is about 1 for rows spread evenly over the sphere, and 0 if all rows are equal.

    Source: Chen and He 2021, SimSiam, section 4.1.
    """
    x = np.asarray(features, np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return float(np.sqrt(x.shape[1]) * x.std(axis=0).mean())


def linear_cka(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n e"]) -> float:
    """Return the linear centred kernel alignment of two encoders on the same examples, in [0, 1].

    It does not change if either is rotated, scaled or shifted; 0 if one of them is constant.

    Source: Kornblith et al. 2019, equation 5 (with centred columns).
    """
    x, y = (np.asarray(each, np.float64) for each in (one, other))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    # Gram matrices are [n, n], small for a micro-set whatever the width of the encoders.
    x, y = x @ x.T, y @ y.T
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def nearest_accuracy(
    bank: Float[np.ndarray, "n d"],
    bank_labels: Int[np.ndarray, " n"],
    queries: Float[np.ndarray, "m d"],
    query_labels: Int[np.ndarray, " m"],
    neighbours: int,
) -> float:
    """Return the share of queries whose class has most of the k nearest rows of the bank, by cosine.

    Args:
        bank: features with known classes.
        bank_labels: class indices, 0 or more.
        queries: features to classify.
        query_labels: their class indices.
        neighbours: k, at least 1; all rows if the bank has fewer. Of classes with equal votes the one whose
            nearest row comes first is taken.
    """
    if neighbours < 1:
        raise errors.UserError(f"neighbours must be at least 1, got {neighbours}")
    unit = [
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        for x in (np.asarray(bank, np.float64), np.asarray(queries, np.float64))
    ]
    near = np.argsort(-(unit[1] @ unit[0].T), axis=1, kind="stable")[:, :neighbours]
    right = 0
    for row, label in zip(bank_labels[near], query_labels):
        classes, first, votes = np.unique(row, return_index=True, return_counts=True)
        best = np.lexsort((first, -votes))[0]
        right += int(classes[best] == label)
    return right / len(query_labels)
