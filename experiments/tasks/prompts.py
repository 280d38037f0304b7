"""Texts of classes for zero-shot classification: templates, and the ensemble of their vectors."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from prismlab.core import errors

_OBJECTS = ("photo", "video", "example", "demonstration")
_VERBS = ("", "using ", "doing ", "during ", "performing ", "practicing ")
# Source: CLIP, data/prompts.md, Kinetics: 4 nouns with "of X", and with "of a person", alone or with a verb.
KINETICS = tuple(
    [f"a {noun} of {{}}." for noun in _OBJECTS]
    + [f"a {noun} of a person {verb}{{}}." for verb in _VERBS for noun in _OBJECTS]
)


def kinetics() -> tuple[str, ...]:
    """Return CLIP's 28 templates for Kinetics, for gin files."""
    return KINETICS


@dataclasses.dataclass(frozen=True)
class Templates:
    """Templates of a class name; the vector of a class is the mean of its texts' vectors, at unit length.

    Brackets, quotes and underscores of names need no cleaning: the tokenizer drops punctuation.

    Args:
        texts: templates with one {} each.

    Source: CLIP (prompt ensembling over embeddings); the default is the release's demo prompt.
    """

    texts: Sequence[str] = ("a video of {}.",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(self.texts))
        wrong = [text for text in self.texts if text.count("{}") != 1]
        if wrong or not self.texts:
            raise errors.UserError(f"templates need one {{}} each, got {wrong[0] if wrong else 'none'!r}")

    def of(self, name: str) -> list[str]:
        """Return the texts of a class."""
        return [text.replace("{}", name) for text in self.texts]

    def vectors(
        self, names: Sequence[str], encode: Callable[[Sequence[str]], Float32[np.ndarray, "n d"]]
    ) -> Float32[np.ndarray, "c d"]:
        """Return the vector of each class.

        Args:
            names: the classes.
            encode: texts -> vectors of unit length.
        """
        every = encode([text for name in names for text in self.of(name)])
        mean = every.reshape(len(names), len(self.texts), -1).mean(axis=1)
        found: np.ndarray = mean / np.sqrt(np.square(mean).sum(-1, keepdims=True) + 1e-12)
        return found
