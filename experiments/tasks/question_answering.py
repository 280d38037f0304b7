"""Question answering with a frozen language model: open answers, and the likeliest of a closed vocabulary.

Source: VideoPrism 3.3, appendix G (closed vocabulary of 250 answers, two-shot text prompts, top-1 and WUPS).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.features import encoder_pass, keeping
from prismlab.experiments.tasks.interface import items, protocols, texts
from prismlab.experiments.tasks.language import (
    bridge_fit,
    closed_answers,
    examples,
    models,
    text_scores,
    training_pairs,
)
from prismlab.experiments.tasks.metrics.answers import exact_match, text_metric

OPEN, CLOSED = " (open)", " (closed {})"


@dataclasses.dataclass(frozen=True)
class QuestionAnswering:
    """Answers to questions about clips by a frozen language model behind a trained bridge.

    Every score stands beside that of a bridge which was trained without video, and its chance is that of the
    most common training answer to the same question: many questions are answered by their text alone.

    Args:
        reader: a data set with questions.
        language: the frozen language model.
        train_reader: what the bridge is trained on; None for the questions of `reader`.
        train_pairs: what is learnt from it; None for its questions with `pairs`. With
            `training_pairs.Captions` the questions are answered zero-shot, as in the paper.
        metrics: of the answers.
        bridge: settings of the bridge.
        pairs: the prompt of a question, and the shots in front of it.
        vocabulary: answers of the closed vocabulary (the paper: 250); 0 for none.
        open_vocabulary: also let the model generate answers.
        protocol: how clips are shown; the bridge reads tokens of one view.
        train_split, test_split: names of the readers' splits. Shots, vocabulary and chance are those of the
            questions of `reader` in the train split.
        control: also train a bridge that sees no video.
        tokens: largest number of generated ids.
        batch_size: clips encoded, and prompts answered, at once.
        answers_at_once: answers of the closed vocabulary that are ranked at once; more need more memory.
        features: where features are kept.
    """

    reader: items.Reader
    language: models.Source
    train_reader: items.Reader | None = None
    train_pairs: training_pairs.PairMaker | None = None
    metrics: Sequence[text_metric.TextMetric] = (exact_match.ExactMatch(),)
    bridge: bridge_fit.Bridge = dataclasses.field(default_factory=bridge_fit.Bridge)
    pairs: training_pairs.Questions = dataclasses.field(default_factory=training_pairs.Questions)
    vocabulary: int = 250
    open_vocabulary: bool = True
    protocol: protocols.Protocol = dataclasses.field(default_factory=protocols.Protocol)
    train_split: str = "train"
    test_split: str = "test"
    control: bool = True
    tokens: int = 32
    batch_size: int = 16
    answers_at_once: int = 32
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        text_scores.check(self.protocol, self.tokens, self.batch_size)
        if not self.metrics or self.vocabulary < 0 or self.answers_at_once < 1:
            raise errors.UserError(
                "question answering: expected a metric, vocabulary of 0 or more and answers_at_once of 1 or "
                f"more, got {len(self.metrics)}, {self.vocabulary} and {self.answers_at_once}"
            )
        if not (self.vocabulary or self.open_vocabulary):
            raise errors.UserError("question answering: set a vocabulary, open_vocabulary, or both")

    def _modes(self) -> list[str]:
        closed = [CLOSED.format(self.vocabulary)] if self.vocabulary else []
        return [*([OPEN] if self.open_vocabulary else []), *closed]

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return text_scores.names(self.metrics, self._modes(), self.control)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return a score for each metric and vocabulary, with and without video.

        Args:
            towers: frozen encoders; only "video" is read.
            seed: seed of the bridge and of the shots.
            cache: directory shared by runs.
        """
        model = self.language.load(cache)
        encoder = encoder_pass.EncoderPass(towers["video"], self.protocol, self.batch_size)
        home = self.train_reader or self.reader
        train = self.features.encode(home.read(self.train_split, cache), encoder, cache)
        test = self.features.encode(self.reader.read(self.test_split, cache), encoder, cache)
        known = train.found if home is self.reader else self.reader.read(self.train_split, cache)
        learnt = [each for _, each in texts.questions_of(known)]
        front = self.pairs.front(known, seed)
        asked = texts.questions_of(test.found)
        right = texts.references(test.found, asked)
        prompts = [(row, front + self.pairs.prompt(each.text)) for row, each in asked]
        answers = closed_answers.most_common(learnt, self.vocabulary) if self.vocabulary else []
        blindly = closed_answers.prior(learnt, [each for _, each in asked])
        made = (self.train_pairs or self.pairs).of(train.found, seed)
        tokens = training_pairs.Tokens.of(made, model, self.bridge.longest)
        said: dict[str, list[text_scores.Said]] = {mode: [] for mode in self._modes()}
        for blind in (False, True) if self.control else (False,):
            fitted = bridge_fit.fit(self.bridge, model, train.features, tokens, seed=seed, blind=blind)
            facts = {
                **text_scores.facts(self.protocol, self.bridge, fitted, tokens, train, test),
                "prompt": f"{len(front)} characters of shots, {self.pairs.template}",
            }
            if self.open_vocabulary:
                generated = fitted.generate(test.features, prompts, self.tokens, self.batch_size)
                said[OPEN].append(text_scores.Said(list(map(closed_answers.first_answer, generated)), facts))
            if answers:
                scores = fitted.rank(
                    test.features, prompts, answers, self.batch_size, at_once=self.answers_at_once
                )
                best = [answers[index] for index in scores.argmax(axis=1)]
                inside = {"answers in the vocabulary": round(closed_answers.share_inside(answers, right), 4)}
                said[CLOSED.format(self.vocabulary)].append(text_scores.Said(best, {**facts, **inside}))
        found: dict[str, task.Score] = {}
        for mode, each in said.items():
            shown = [] if found else examples.of(test.found, self.protocol, _beside(asked, right, each))
            found |= text_scores.scored(self.metrics, mode, each, right, shown, chance=blindly)
        return found


def _beside(
    asked: Sequence[tuple[int, texts.Question]],
    right: Sequence[texts.Reference],
    said: Sequence[text_scores.Said],
) -> list[tuple[int, list[tuple[str, str]]]]:
    names = ("says", "no video")
    return [
        (row, [("asked", each.text), *[(name, one.texts[number]) for name, one in zip(names, said)],
               ("reference", right[number].texts[0])])
        for number, (row, each) in enumerate(asked)
    ]  # fmt: skip
