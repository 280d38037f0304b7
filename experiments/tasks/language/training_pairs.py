"""Prompts and answers: training pairs of captions or questions, and their ids in fixed shapes."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Int32, Int64

from prismlab.core import errors
from prismlab.core.language import frozen_model
from prismlab.experiments.tasks.interface import items, texts


@dataclasses.dataclass(frozen=True)
class Pair:
    """A prompt and what follows it.

    Args:
        row: row of the clip.
        prompt: text in front, "" for none.
        answer: the text that is learnt or likely; starts a new word.
    """

    row: int
    prompt: str
    answer: str


class PairMaker(Protocol):
    """Interface of what turns a split into training pairs; implementations are frozen dataclasses."""

    def of(self, found: items.ItemSet, seed: int) -> list[Pair]:
        """Return the training pairs of a split."""
        ...


@dataclasses.dataclass(frozen=True)
class Captions:
    """One pair for each caption of a clip.

    Args:
        prompt: text in front of a caption; the paper's is not published.
    """

    prompt: str = "caption:"

    def of(self, found: items.ItemSet, seed: int) -> list[Pair]:
        """Return the pairs.

        Raises:
            UserError: no clip has a caption.
        """
        del seed
        made = [Pair(row, self.prompt, text) for row, item in enumerate(found.items) for text in item.texts]
        if not made:
            raise errors.UserError(f"{found.name}: expected captions, found none; use a reader of captions")
        return made


@dataclasses.dataclass(frozen=True)
class Questions:
    """One pair for each question of a clip.

    Args:
        template: a prompt with "{}" for the question.
        shots: further questions with answers in front, as texts: those of the most common training answers,
            one question each, drawn by the seed.

    Source: VideoPrism appendix G ("question: who breaks an egg into a bowl? answer: woman.", two shots).
    """

    template: str = "question: {} answer:"
    shots: int = 0

    def __post_init__(self) -> None:
        if self.template.count("{}") != 1 or self.shots < 0:
            raise errors.UserError(
                f"questions: expected a template with one {{}} and shots of 0 or more, got {self.template!r} "
                f"and {self.shots}"
            )

    def of(self, found: items.ItemSet, seed: int) -> list[Pair]:
        """Return the pairs; each has the first answer of its question."""
        front = self.front(found, seed)
        return [
            Pair(row, front + self.prompt(each.text), each.answers[0])
            for row, each in texts.questions_of(found)
        ]

    def prompt(self, question: str) -> str:
        """Return the prompt of a question, which ends with one question mark."""
        return self.template.replace("{}", question.rstrip(" ?") + "?")

    def front(self, found: items.ItemSet, seed: int) -> str:
        """Return the shots, "" for none.

        Args:
            found: training questions.
            seed: chooses among the questions of an answer.
        """
        if not self.shots:
            return ""
        asked = [each for _, each in texts.questions_of(found)]
        counts = collections.Counter(each.answers[0] for each in asked)
        common = sorted(counts, key=lambda answer: (-counts[answer], answer))[: self.shots]
        rng = np.random.default_rng([seed, self.shots])
        made = []
        for answer in common:
            those = [each.text for each in asked if each.answers[0] == answer]
            made.append(f"{self.prompt(those[int(rng.integers(len(those)))])} {answer}. ")
        return "".join(made)


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Pairs as ids, padded at the end.

    Args:
        rows: row of the clip of each pair.
        ids: prompt, answer and end.
        present: True at ids, False at padding.
        answer: True at the ids of the answer and the end, on which the loss is taken.
        cut: pairs that were longer and lost the end of their answer.
    """

    rows: Int64[np.ndarray, " p"]
    ids: Int32[np.ndarray, "p n"]
    present: Bool[np.ndarray, "p n"]
    answer: Bool[np.ndarray, "p n"]
    cut: int

    @classmethod
    def of(cls, made: Sequence[Pair], model: frozen_model.LanguageModel, longest: int) -> "Tokens":
        """Return pairs as ids.

        Args:
            made: the pairs.
            model: its tokenizer and special ids.
            longest: ids to which a pair is cut.

        Raises:
            UserError: a prompt leaves no room for an answer, or an answer is empty.
        """
        prompts = [prompt_ids(each.prompt, model) for each in made]
        answers = [answer_ids(each.answer, model) for each in made]
        size = min(longest, max(len(p) + len(a) for p, a in zip(prompts, answers)))
        if max(map(len, prompts)) >= size:
            raise errors.UserError(
                f"the longest prompt has {max(map(len, prompts))} ids, which leaves none of {longest} for "
                "its answer; use fewer shots or a larger `longest`"
            )
        ids = np.full((len(made), size), model.special.pad, np.int32)
        present, learnt = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
        for row, (prompt, answer) in enumerate(zip(prompts, answers)):
            both = [*prompt, *answer][:size]
            ids[row, : len(both)] = both
            present[row, : len(both)] = True
            learnt[row, len(prompt) : len(both)] = True
        cut = sum(len(p) + len(a) > size for p, a in zip(prompts, answers))
        return cls(np.asarray([each.row for each in made], np.int64), ids, present, learnt, cut)


def prompt_ids(prompt: str, model: frozen_model.LanguageModel) -> list[int]:
    """Return the ids of a prompt, with the begin id if the model has one."""
    begin = [] if model.special.begin is None else [model.special.begin]
    return [*begin, *model.tokenizer.encode(prompt)]


def answer_ids(answer: str, model: frozen_model.LanguageModel) -> list[int]:
    """Return the ids of an answer after a prompt, with its leading blank and the end id.

    Raises:
        UserError: the answer is empty.
    """
    plain = " ".join(answer.split())
    if not plain:
        raise errors.UserError("expected an answer or caption of at least one word, found an empty one")
    return [*model.tokenizer.encode(" " + plain), model.special.end]


def prompts(
    made: Sequence[str], model: frozen_model.LanguageModel
) -> tuple[Int32[np.ndarray, "p n"], Bool[np.ndarray, "p n"]]:
    """Return prompts as ids and the mask of their padding, which is in front, so that all end together."""
    ids = [prompt_ids(each, model) for each in made]
    size = max(map(len, ids))
    padded: Any = np.full((len(ids), size), model.special.pad, np.int32)
    present = np.zeros(padded.shape, bool)
    for row, each in enumerate(ids):
        padded[row, size - len(each) :] = each
        present[row, size - len(each) :] = True
    return padded, present
