"""CIDEr-D of captions: similarity of tf-idf vectors of n-grams with the references, clipped and by length.

Source: Vedantam et al. 2015, as pycocoevalcap computes it (whose value is this one).
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics import measured
from prismlab.experiments.tasks.metrics.answers import penn_words

LONGEST = 4  # n-grams of 1 to 4 words
DEVIATION = 6.0  # of the Gaussian of the difference in length
FACTOR = 10.0  # tables of papers print 100 times this value divided by 10
Vector = list[dict[tuple[str, ...], float]]


@dataclasses.dataclass(frozen=True)
class Cider:
    """CIDEr-D; papers print it times 100, so that 0.52 is their 52.

    Frequencies of n-grams are those of the references of the clips that are scored, so the value depends on
    which and how many they are: with one clip it is 0, and of a part of a split it is another metric.
    """

    @property
    def name(self) -> str:
        """Name in tables."""
        return "CIDEr"

    def missing(self) -> str:
        """Return "": nothing is missing."""
        return ""

    def __call__(self, said: Sequence[str], references: Sequence[texts.Reference]) -> measured.Measured:
        """Return the mean over clips; the outcome of a clip depends on the references of the others."""
        values = scores(
            [penn_words.words(text) for text in said],
            [[penn_words.words(text) for text in each.texts] for each in references],
        )
        notes: dict[str, object] = {"references": sum(len(each.texts) for each in references)}
        if len(references) < 2:
            notes["warning"] = "CIDEr of one clip is 0 by definition"
        empty = sum(not text.strip() for text in said)
        if empty:
            notes["empty captions generated"] = empty
        return measured.Measured(float(values.mean()), None, values, notes)


def scores(said: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """Return the CIDEr-D of each text.

    Args:
        said: words of each text.
        references: words of the references of each text.

    Returns:
        float64 [n], 0 to 10.
    """
    counted = [[_counts(words) for words in each] for each in references]
    frequency = collections.Counter(gram for each in counted for gram in set().union(*each))
    total = np.log(float(len(references)))
    weigh = lambda counts: _vector(counts, frequency, total)
    found = []
    for words, each in zip(said, counted, strict=True):
        own = weigh(_counts(words))
        alike = [_similarity(own, weigh(one)) for one in each]
        found.append(FACTOR * float(np.mean(alike)))
    return np.asarray(found, np.float64)


def _counts(words: Sequence[str]) -> collections.Counter:
    return collections.Counter(
        tuple(words[at : at + size]) for size in range(1, LONGEST + 1) for at in range(len(words) - size + 1)
    )


def _vector(
    counts: collections.Counter, frequency: collections.Counter, total: float
) -> tuple[Vector, list[float], int]:
    """Return the tf-idf vector of each length of n-gram, its norm, and the number of bigrams."""
    vector: Vector = [{} for _ in range(LONGEST)]
    for gram, count in counts.items():
        vector[len(gram) - 1][gram] = count * (total - np.log(max(1.0, frequency[gram])))
    norms = [float(np.sqrt(sum(value**2 for value in part.values()))) for part in vector]
    return vector, norms, sum(count for gram, count in counts.items() if len(gram) == 2)


def _similarity(own: tuple[Vector, list[float], int], other: tuple[Vector, list[float], int]) -> float:
    # The official code measures length by the number of bigrams.
    penalty = float(np.exp(-((own[2] - other[2]) ** 2) / (2 * DEVIATION**2)))
    values = []
    for mine, theirs, norm, other_norm in zip(own[0], other[0], own[1], other[1]):
        shared = ((weight, theirs[gram]) for gram, weight in mine.items() if gram in theirs)
        value = sum(min(weight, other) * other for weight, other in shared)
        values.append(value / (norm * other_norm) if norm and other_norm else value)
    return penalty * float(np.mean(values))
