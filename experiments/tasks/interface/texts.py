"""Texts of an evaluation: the right texts of a caption or question, and the questions of a clip."""

import dataclasses
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items

QUESTIONS = "questions"  # key of `Item.extra`


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a generated text is compared with.

    Args:
        key: name of the caption or question, unique within its split.
        group: what makes texts dependent, the clip for example.
        texts: the right texts, at least one.
        kind: type of the question, or "".
    """

    key: str
    group: str
    texts: tuple[str, ...]
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a clip.

    Args:
        key: its name, unique within its clip.
        text: the question.
        answers: right answers; the first one is trained on.
        kind: its type, or "".
    """

    key: str
    text: str
    answers: tuple[str, ...]
    kind: str = ""


def questions_of(found: items.ItemSet) -> list[tuple[int, Question]]:
    """Return (row of the clip, question) of all questions of a split.

    Raises:
        UserError: the data set has no questions.
    """
    asked = [(row, each) for row, item in enumerate(found.items) for each in item.extra.get(QUESTIONS, ())]
    if not asked:
        raise errors.UserError(
            f"{found.name}: expected clips with questions, found none; use the reader of a data set of "
            "question answering"
        )
    return asked


def references(found: items.ItemSet, asked: Sequence[tuple[int, Question]]) -> list[Reference]:
    """Return the reference of each question."""
    made = []
    for row, each in asked:
        item = found.items[row]
        made.append(Reference(f"{item.key} {each.key}", item.group, each.answers, each.kind))
    return made
