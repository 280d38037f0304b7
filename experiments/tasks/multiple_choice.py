"""Zero-shot multiple choice: the option whose text is most similar to the clip.

Source: VideoPrism appendix F (NExT-QA ATP-hard; Charades-STA: a clip's description among those of its video).
"""

import dataclasses
import pathlib

import numpy as np

from prismlab.core import errors
from prismlab.core.train import learner
from prismlab.data.loader import tokenizer as tokenizer_module
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.features import clip_vectors, keeping, text_pass
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import choice_accuracy, item_outcomes


@dataclasses.dataclass(frozen=True)
class MultipleChoice:
    """Accuracy of choosing a text for a clip.

    Args:
        reader: a data set whose items have options and an answer.
        tokenizer: of the text tower; None for the tokenizer of the encoder's stage.
        template: text that is encoded for an option: "{}" is the option, "{question}" the item's `question`.
        protocol: how clips are shown.
        split: which items.
        batch_size: views and texts encoded at once.
        features: how pooled vectors of clips are kept; stored, all tasks on the same clips share them.
    """

    reader: items.Reader
    tokenizer: tokenizer_module.Tokenizer | None = None
    template: str = "{}"
    protocol: protocols.Protocol = dataclasses.field(default_factory=clip_vectors.default_protocol)
    split: str = "test"
    batch_size: int = 64
    features: keeping.Keeping = dataclasses.field(default_factory=keeping.Keeping)

    def __post_init__(self) -> None:
        clip_vectors.check(self.protocol)
        if self.template.count("{}") != 1:
            raise errors.UserError(f"multiple choice: the template needs one {{}}, got {self.template!r}")
        if self.batch_size < 1:
            raise errors.UserError(f"multiple choice: batch_size must be at least 1, got {self.batch_size}")

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores."""
        return (choice_accuracy.ChoiceAccuracy().name,)

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> dict[str, task.Score]:
        """Return the accuracy, or {} without a text tower.

        Args:
            towers: frozen encoders by name.
            seed: unused.
            cache: directory shared by runs.
        """
        del seed
        if "text" not in towers:
            return {}
        encode = text_pass.TextPass(towers, self.tokenizer, cache, self.batch_size)
        clips = clip_vectors.of(
            _with_options(self.reader.read(self.split, cache)),
            towers,
            self.protocol,
            self.batch_size,
            self.features,
            cache,
        )
        texts = [[self._text(item, option) for option in item.texts] for item in clips.found.items]
        flat = [text for options in texts for text in options]
        ends = np.cumsum([len(options) for options in texts])[:-1]
        vectors = np.split(encode(flat), ends)
        scores = [options @ clip for options, clip in zip(vectors, clips.vectors, strict=True)]
        metric = choice_accuracy.ChoiceAccuracy()
        made = metric(scores, clips.found)
        facts = {
            **clip_vectors.facts(self.protocol, clips), **made.notes, "template": self.template,
            "texts cut": encode.cut(flat), **made.chance_fact(),
        }  # fmt: skip
        outcomes = item_outcomes.of_mean(made, clips.named)
        return {metric.name: task.Score(made.value, len(clips.found), facts, outcomes)}

    def _text(self, item: items.Item, option: str) -> str:
        before, after = self.template.split("{}")
        question = str(item.extra.get("question", ""))
        return before.replace("{question}", question) + option + after.replace("{question}", question)


def _with_options(found: items.ItemSet) -> items.ItemSet:
    for item in found.items:
        if item.answer is None or not 0 <= item.answer < len(item.texts):
            raise errors.UserError(
                f"{found.name}: item {item.key!r} has {len(item.texts)} options and the answer "
                f"{item.answer}, so it is no multiple choice; use the reader of a data set with options"
            )
    return found
