"""Probe: train a grid of heads on frozen features, select on held-out training items, predict test items."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import Float32, PRNGKeyArray

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import classifier, head_grid
from prismlab.experiments.tasks.interface import items


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a head says about the test items.

    Args:
        scores: float32 [k, n, c], probabilities of each of k head seeds.
        facts: settings and results that belong beside the score: the grid, what was selected and by what.
    """

    scores: Float32[np.ndarray, "k n c"]
    facts: Mapping[str, Any]


# Probabilities and items -> the number by which grid points are compared; higher is better.
Measure = Callable[[Float32[np.ndarray, "n c"], items.ItemSet], float]


@runtime_checkable
class Head(Protocol):
    """Interface of a head: learn from the training items, predict the test items."""

    def predict(
        self, train: feature_set.Encoded, test: feature_set.Encoded, measure: Measure, *, seed: int
    ) -> Predictions:
        """Return the predictions of every head seed.

        Args:
            train: training items and their features.
            test: test items and their features; their labels are not read.
            measure: compares grid points on held-out training items.
            seed: the experiment's seed.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Attention:
    """Attention pooler and linear layer, the paper's head; see `classifier.AttentionHead`.

    Args:
        heads: attention heads.
        hidden_dim: total width of the heads; None for the width of the tokens.
        dropout: see `classifier.AttentionHead`.
    """

    heads: int = 12
    hidden_dim: int | None = None
    dropout: float = 0.0

    def build(self, dim: int, classes: int, *, key: PRNGKeyArray) -> eqx.Module:
        """Return a head for features [b, s, dim]."""
        width = self.hidden_dim or dim
        if width % self.heads:
            raise errors.UserError(f"probe: {self.heads} attention heads do not divide the width {width}")
        return classifier.AttentionHead(
            dim, classes, heads=self.heads, hidden_dim=width, dropout=self.dropout, key=key
        )


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear layer on pooled vectors; see `classifier.LinearHead`."""

    dropout: float = 0.0

    def build(self, dim: int, classes: int, *, key: PRNGKeyArray) -> eqx.Module:
        """Return a head for features [b, dim]."""
        return classifier.LinearHead(dim, classes, dropout=self.dropout, key=key)


def held_out(found: items.ItemSet, share: float) -> np.ndarray:
    """Return which items are held out: whole groups, those whose names have the smallest hashes.

    Args:
        found: the training items.
        share: fraction of the groups, at least one of several.

    Returns:
        bool [n]. The choice depends on names only: every seed and every encoder holds out the same items.
    """
    # Salted: a reader may split train and test by the hash of the same name.
    order = lambda group: hashlib.sha256(f"held out/{group}".encode()).digest()
    groups = sorted({item.group for item in found.items}, key=order)
    chosen = set(groups[: max(1, round(share * len(groups)))]) if len(groups) > 1 else set()
    return np.asarray([item.group in chosen for item in found.items])


@dataclasses.dataclass(frozen=True)
class Probe:
    """A grid of classifiers on frozen features.

    Args:
        classifier: `Attention` or `Linear`, or a dataclass of your own with `build(dim, classes, key=)`.
        grid: hyperparameters.
    """

    classifier: Attention | Linear = dataclasses.field(default_factory=Attention)
    grid: head_grid.Grid = dataclasses.field(default_factory=head_grid.Grid)

    def predict(
        self, train: feature_set.Encoded, test: feature_set.Encoded, measure: Measure, *, seed: int
    ) -> Predictions:
        """Train the grid, select rate and decay on held-out items, predict the test items.

        Raises:
            UserError: too few training items.
        """
        found, settings = train.found, self.grid
        held = held_out(found, settings.held_out)
        if held.all() or not held.any():
            raise errors.UserError(
                f"{found.name}: {len(found)} training items leave none to train on or to hold out; give more "
                "items or change head_grid.Grid.held_out"
            )
        targets = found.multi_hot() if found.multi_label else found.index_targets()
        dim = train.features.take(np.zeros(1, np.int64)).shape[-1]
        make = lambda key: self.classifier.build(dim, len(found.classes), key=key)
        fitted = head_grid.fit(make, train.features, targets, np.flatnonzero(~held), settings, seed=seed)
        kept = np.flatnonzero(held)
        outputs = fitted.outputs(
            feature_set.Rows(train.features, kept), settings.batch_size, found.multi_label
        )
        validation = found.subset(kept.tolist())
        table = [[measure(scores, validation) for scores in point] for point in outputs]
        mean = np.mean(table, axis=1)
        chosen = int(np.argmax(mean))
        scores = fitted.outputs(test.features, settings.batch_size, found.multi_label)
        on_test = [float(np.mean([measure(each, test.found) for each in point])) for point in scores]
        rate, decay = fitted.points[chosen]
        facts = {
            "learning rate": rate,
            "weight decay": decay,
            "head seeds": settings.seeds,
            "selected on": f"{len(kept)} held-out training items",
            "train items": int((~held).sum()),
            "grid": [
                {
                    "learning rate": point[0],
                    "weight decay": point[1],
                    "held out": [round(value, 6) for value in row],
                    "test": round(tested, 6),
                }
                for point, row, tested in zip(fitted.points, table, on_test)
            ],
            "best on test": round(max(on_test), 6),
        }
        if chosen in (0, len(fitted.points) - 1) and len(settings.learning_rates) > 1:
            facts["warning"] = "the selected learning rate may be at the edge of the grid"
        return Predictions(scores[chosen], facts)
