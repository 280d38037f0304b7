"""Answers that need no video: the vocabulary of training answers, the most common one to a question."""

import collections
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics.answers import exact_match


def most_common(asked: Sequence[texts.Question], size: int) -> list[str]:
    """Return the most common first answers of training questions, ties in alphabetical order.

    Args:
        asked: training questions.
        size: number of answers.

    Raises:
        UserError: there are fewer than two different answers.
    """
    counts = collections.Counter(exact_match.plain(each.answers[0]) for each in asked)
    found = sorted(filter(None, counts), key=lambda answer: (-counts[answer], answer))[:size]
    if len(found) < 2:
        raise errors.UserError(
            f"closed vocabulary: expected two different training answers or more, found {found}"
        )
    return found


def share_inside(answers: Sequence[str], references: Sequence[texts.Reference]) -> float:
    """Return the share of questions with a reference in the vocabulary; all others are wrong."""
    known = set(answers)
    return sum(any(exact_match.plain(text) in known for text in each.texts) for each in references) / len(
        references
    )


def first_answer(generated: str) -> str:
    """Return the answer at the beginning of a generated text: a model that was shown shots writes more.

    It ends before a period that ends a sentence, and before the next question.
    """
    return generated.partition("question:")[0].partition(". ")[0].strip().rstrip(".")


def prior(train: Sequence[texts.Question], asked: Sequence[texts.Question]) -> list[str]:
    """Return the best answer that ignores the video: the most common training answer to the same question.

    Args:
        train: training questions.
        asked: the questions; one that was not trained on gets the most common answer of all.
    """
    of_text: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    every: collections.Counter = collections.Counter()
    for each in train:
        answer = exact_match.plain(each.answers[0])
        of_text[each.text.lower()][answer] += 1
        every[answer] += 1
    best = lambda counts: min(counts, key=lambda answer: (-counts[answer], answer))
    return [best(of_text.get(each.text.lower()) or every) for each in asked]
