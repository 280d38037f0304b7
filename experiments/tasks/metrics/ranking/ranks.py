"""Rank of the right candidates of a query in retrieval, ties counted against and for it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

CHUNK = 1 << 24  # similarities compared at a time


def ranks(
    similarity: Float[np.ndarray, "q c"], right: Sequence[Sequence[int]]
) -> tuple[Int64[np.ndarray, " q"], Int64[np.ndarray, " q"]]:
    """Return the pessimistic and the optimistic rank of each query, from 1.

    The rank is that of the best right candidate: 1 + the number of wrong candidates that score at least as
    high (pessimistic) or higher (optimistic). A collapsed encoder gives equal similarities, which must not
    count as right. A similarity that is not finite is below all others.

    Args:
        similarity: [q, c], of each query with each candidate.
        right: indices of the right candidates of each query, at least one.
    """
    worst, best = np.empty(len(similarity), np.int64), np.empty(len(similarity), np.int64)
    step = max(1, CHUNK // max(1, similarity.shape[1]))
    for start in range(0, len(similarity), step):
        part = similarity[start : start + step]
        part = np.where(np.isfinite(part), part, -np.inf)
        wrong = np.ones(part.shape, bool)
        for row, indices in enumerate(right[start : start + step]):
            wrong[row, list(indices)] = False
        own = np.where(wrong, -np.inf, part).max(axis=1, keepdims=True)
        worst[start : start + step] = 1 + ((part >= own) & wrong).sum(axis=1)
        best[start : start + step] = 1 + ((part > own) & wrong).sum(axis=1)
    return worst, best


def chance_of_recall(k: int, right: Int64[np.ndarray, " q"], candidates: int) -> float:
    """Return the mean probability that one of k candidates drawn at random is right.

    Args:
        k: candidates drawn, without repetition.
        right: number of right candidates of each query.
        candidates: number of candidates.
    """
    missed = np.ones(len(right))
    for drawn in range(min(k, candidates)):
        missed *= np.maximum(candidates - right - drawn, 0) / (candidates - drawn)
    return float(1.0 - missed.mean())
