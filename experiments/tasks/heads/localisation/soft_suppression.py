"""Gaussian soft non-maximum suppression: scores fall with the overlap with a surer segment of the class.

Source: Bodla et al. 2017; as G-TAD and ActionFormer use it: score x exp(-overlap² / sigma).
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int64

from prismlab.core import errors
from prismlab.experiments.tasks.interface import segments


@dataclasses.dataclass(frozen=True)
class SoftSuppression:
    """Settings of the suppression of one video's segments.

    Args:
        sigma: width; small values suppress more. G-TAD: .8, ActionFormer: .75, UnLoc: .3. 0 for none.
        before: segments of the highest scores that are looked at.
        after: segments of the highest scores that are kept, of all classes. The official limit is 100.
        least: segments of lower scores are dropped.
    """

    sigma: float = 0.5
    before: int = 400
    after: int = 100
    least: float = 1e-4

    def __post_init__(self) -> None:
        if self.sigma < 0 or min(self.before, self.after) < 1:
            raise errors.UserError(
                "soft suppression: expected sigma of 0 or more and before and after of 1 or more, got "
                f"{self.sigma}, {self.before} and {self.after}"
            )

    def __call__(self, predicted: segments.Predicted) -> segments.Predicted:
        """Return the segments that are left of one video, from the highest score down."""
        predicted = predicted.where(predicted.score >= self.least)
        order = np.argsort(-predicted.score, kind="stable")[: self.before]
        predicted = _taken(predicted, order)
        if self.sigma:
            score = predicted.score.astype(float)
            for label in np.unique(predicted.label):
                places = np.flatnonzero(predicted.label == label)
                score[places] = suppressed(
                    predicted.start[places], predicted.end[places], score[places], self.sigma
                )
            predicted = dataclasses.replace(predicted, score=score)
            predicted = predicted.where(score >= self.least)
        return _taken(predicted, np.argsort(-predicted.score, kind="stable")[: self.after])


def suppressed(
    start: Float[np.ndarray, " p"], end: Float[np.ndarray, " p"], score: Float[np.ndarray, " p"], sigma: float
) -> Float[np.ndarray, " p"]:
    """Return the scores of segments of one class after suppression, in the order given.

    Args:
        start, end: seconds.
        score: above or equal 0.
        sigma: above 0.
    """
    score = score.astype(float).copy()
    overlaps = np.nan_to_num(segments.overlap(start, end, start, end))
    waiting = np.ones(len(score), bool)
    for _ in range(len(score)):
        best = int(np.argmax(np.where(waiting, score, -1.0)))
        waiting[best] = False
        score[waiting] *= np.exp(-np.square(overlaps[best, waiting]) / sigma)
    return score


def _taken(predicted: segments.Predicted, order: Int64[np.ndarray, " q"]) -> segments.Predicted:
    return segments.Predicted(
        *(getattr(predicted, field.name)[order] for field in dataclasses.fields(predicted))
    )
