"""The rendered world with questions: shape, colour, background, motion, and yes or no, in balance."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from prismlab.core import errors
from prismlab.data.world import questions
from prismlab.experiments.tasks.interface import items, texts
from prismlab.experiments.tasks.readers.rendered_world import rendered


@dataclasses.dataclass(frozen=True)
class RenderedQuestions:
    """Rendered clips with one question of each type; see `questions.ASKED`.

    Args:
        world: the clips.
        kinds: types of questions that are asked; () for all.
    """

    world: rendered.RenderedWorld
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(questions.ASKED))
        if unknown:
            raise errors.UserError(f"rendered questions: kinds are {list(questions.ASKED)}, got {unknown}")

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the items of "train" or "test", with a caption and questions each, without classes."""
        found = self.world.read(split, cache)
        made = []
        for item in found.items:
            rng = np.random.default_rng(list(hashlib.sha256(f"questions/{item.key}".encode()).digest()))
            asked = tuple(
                texts.Question(kind, text, (answer,), kind)
                for text, answer, kind in questions.balanced(item.extra, rng)
                if not self.kinds or kind in self.kinds
            )
            made.append(
                dataclasses.replace(
                    item, labels=(), extra={"index": item.extra["index"], texts.QUESTIONS: asked}
                )
            )
        return items.ItemSet(f"world questions/{split}", tuple(made), (), found.load, notes=found.notes)
