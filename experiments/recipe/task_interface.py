"""Evaluation interface: a task takes trained towers and returns named scores, each with its protocol."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from prismlab.core.train import learner
from prismlab.data.loader import tokenizer


@dataclasses.dataclass(frozen=True)
class Score:
    """A score and the protocol by which it was measured.

    Args:
        value: the score; an accuracy in [0, 1] in the shipped tasks.
        n: number of test items averaged.
        protocol: pooling, frames, views, train clips per class, chance and other relevant settings.
        outcomes: contribution of each item by head seed, and the items' names: {"keys": [n], "groups": [n],
            "outcomes": [k][n]}. Where a metric is no mean over items, "outcomes" is absent, or all of it is
            None. Heads add what `experiments/tasks/metrics/item_outcomes.py` lists.
    """

    value: float
    n: int
    protocol: Mapping[str, Any]
    outcomes: Mapping[str, Any] | None = None


def for_encoder(task: "Task", own: tokenizer.Tokenizer | None) -> "Task":
    """Return a task that reads texts as its encoder was trained, where it names no tokenizer of its own.

    Args:
        task: a task; one that reads texts has the field `tokenizer`.
        own: the tokenizer of the encoder's stage, or None for an encoder without one.
    """
    if own is None or not dataclasses.is_dataclass(task) or isinstance(task, type):
        return task
    open_field = any(field.name == "tokenizer" for field in dataclasses.fields(task))
    if not open_field or getattr(task, "tokenizer") is not None:  # noqa: B009
        return task
    return dataclasses.replace(task, tokenizer=own)


@runtime_checkable
class Task(Protocol):
    """Interface of an evaluation; implementations are frozen dataclasses with plain fields."""

    def __call__(self, towers: learner.Towers, *, seed: int, cache: pathlib.Path) -> Mapping[str, Score]:
        """Evaluate the towers of a stage.

        Args:
            towers: frozen encoders by name.
            seed: the experiment's seed.
            cache: directory shared by runs.

        Returns:
            Scores by metric name; {} when the towers lack what the task needs.
        """
        ...


@runtime_checkable
class NamesMetrics(Protocol):
    """A task that names its scores before it is run, so that claims can be checked."""

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of the scores for towers that have all that the task reads."""
        ...
