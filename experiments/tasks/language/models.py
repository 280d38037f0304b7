"""Frozen language models of an evaluation: where they come from, as settings for gin files."""

import dataclasses
import pathlib
from typing import Any, Protocol, runtime_checkable

from prismlab.core.language import frozen_model


@runtime_checkable
class Source(Protocol):
    """Interface of a source of a frozen language model; implementations are frozen dataclasses."""

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the language model.

        Args:
            cache: directory shared by runs.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Given:
    """A language model of your own code.

    Args:
        model: the model.
    """

    model: Any

    def load(self, cache: pathlib.Path) -> frozen_model.LanguageModel:
        """Return the model."""
        del cache
        found: frozen_model.LanguageModel = self.model
        return found
