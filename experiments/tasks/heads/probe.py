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
from prismlab.experiments.tasks.heads import classifier, head_grid, multi_layer, targets
from prismlab.experiments.tasks.interface import items, protocols


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


@runtime_checkable
class ChecksFrame(Protocol):
    """A head that does not work with every protocol and every way of keeping features."""

    def check_frame(self, how: protocols.Protocol, mode: str) -> None:
        """Raise a UserError for a benchmark's protocol or `keeping.Keeping.mode` that the head cannot use."""
        ...


class Classifier(Protocol):
    """Interface of a classifier's settings; implementations are frozen dataclasses."""

    def build(self, shape: tuple[int, ...], classes: int, *, key: PRNGKeyArray) -> Any:
        """Return an `eqx.Module`: features [b, *shape] and a key (or None) -> logits [b, classes]."""
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

    def build(self, shape: tuple[int, ...], classes: int, *, key: PRNGKeyArray) -> eqx.Module:
        """Return a head for features [b, *shape]; the shape is tokens x width."""
        _expect(shape, 2, "Attention", "pooling='attention' or 'frames', and layers=1")
        dim = shape[-1]
        wide = width(self.hidden_dim or dim, self.heads)
        return classifier.AttentionHead(
            dim, classes, heads=self.heads, hidden_dim=wide, dropout=self.dropout, key=key
        )


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear layer on pooled vectors; see `classifier.LinearHead`."""

    dropout: float = 0.0

    def build(self, shape: tuple[int, ...], classes: int, *, key: PRNGKeyArray) -> eqx.Module:
        """Return a head for features [b, *shape]; the shape is the width alone."""
        _expect(shape, 1, "Linear", "pooling='mean' or 'tower'")
        return classifier.LinearHead(shape[-1], classes, dropout=self.dropout, key=key)


@dataclasses.dataclass(frozen=True)
class MultiLayer:
    """Multi-layer attentive pooling (MLAP) and linear layer, for protocols with several layers.

    Args:
        heads: attention heads of each pooling layer.
        hidden_dim: total width of the heads; None for the width of the tokens.
        dropout: see `multi_layer.MultiLayerHead`.
    """

    heads: int = 12
    hidden_dim: int | None = None
    dropout: float = 0.0

    def build(self, shape: tuple[int, ...], classes: int, *, key: PRNGKeyArray) -> eqx.Module:
        """Return a head for features [b, *shape]; the shape is layers x tokens x width."""
        _expect(shape, 3, "MultiLayer", "pooling='attention', and layers=2 or more (VideoGLUE: 4)")
        wide = width(self.hidden_dim or shape[-1], self.heads)
        return multi_layer.MultiLayerHead(
            shape[0], shape[-1], classes, heads=self.heads, hidden_dim=wide, dropout=self.dropout, key=key
        )


@dataclasses.dataclass(frozen=True)
class Make:
    """Constructor of heads; equal ones share a compiled program.

    Args:
        classifier: settings of each head.
        shape: of the features of a view.
        classes: number of classes.
    """

    classifier: Classifier
    shape: tuple[int, ...]
    classes: int

    def __hash__(self) -> int:
        return hash((type(self.classifier), self.shape, self.classes))  # a classifier may have no hash

    def __call__(self, *, key: PRNGKeyArray) -> Any:
        """Return a head with random weights."""
        return self.classifier.build(self.shape, self.classes, key=key)


def width(total: int, heads: int) -> int:
    """Return the width of attention heads, after a check that they divide it."""
    if total % heads:
        raise errors.UserError(f"probe: {heads} attention heads do not divide the width {total}")
    return total


def _expect(shape: tuple[int, ...], axes: int, name: str, protocol: str) -> None:
    if len(shape) != axes:
        raise errors.UserError(
            f"probe.{name} does not read features of shape {list(shape)}; set the protocol to {protocol}"
        )


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
class Trained:
    """A grid of heads with what it says about the held-out training items.

    Args:
        fitted: the heads.
        validation: the held-out items.
        outputs: float32 [p, k, n, c], probabilities of each grid point and head seed.
    """

    fitted: head_grid.Fitted
    validation: items.ItemSet
    outputs: Float32[np.ndarray, "p k n c"]


@dataclasses.dataclass(frozen=True)
class Probe:
    """A grid of classifiers on frozen features.

    Args:
        classifier: `Attention`, `MultiLayer` or `Linear`, or a dataclass of your own with
            `build(shape, classes, key=)`, where features of a view are [b, *shape].
        grid: hyperparameters.
        sizes: values of the classifier's `hidden_dim` that are tried too, as an axis of the grid; () for its
            own value alone.
    """

    classifier: Classifier = dataclasses.field(default_factory=Attention)
    grid: head_grid.Grid = dataclasses.field(default_factory=head_grid.Grid)
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.sizes and not hasattr(self.classifier, "hidden_dim"):
            raise errors.UserError(
                f"probe: {type(self.classifier).__name__} has no pooler, so there are no sizes to try; leave "
                "probe.Probe.sizes at ()"
            )

    def train(self, train: feature_set.Encoded, *, seed: int) -> Trained:
        """Train the grid on all but the held-out items.

        Args:
            train: training items and their features.
            seed: the experiment's seed.

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
        shape = train.features.take(np.zeros(1, np.int64)).shape[2:]
        tried: list[Any] = [self.classifier]
        if self.sizes:
            tried = [dataclasses.replace(tried[0], hidden_dim=size) for size in self.sizes]
        makes = [Make(one, shape, len(found.classes)) for one in tried]
        fitted = head_grid.fit(
            makes,
            train.features,
            targets.Targets.of(found),
            np.flatnonzero(~held),
            settings,
            seed=seed,
            augmented=train.augmented,
        )
        kept = np.flatnonzero(held)
        outputs = fitted.outputs(feature_set.Rows(train.features, kept), settings.batch_size)
        # Named: a metric may have no value on the few items that are held out, and says whose items they are.
        name = f"{found.name}, part held out by head_grid.Grid.held_out={settings.held_out:g}"
        return Trained(fitted, dataclasses.replace(found.subset(kept.tolist()), name=name), outputs)

    def predict(
        self, train: feature_set.Encoded, test: feature_set.Encoded, measure: Measure, *, seed: int
    ) -> Predictions:
        """Train the grid, select rate and decay on held-out items, predict the test items.

        Raises:
            UserError: too few training items.
        """
        trained, settings = self.train(train, seed=seed), self.grid
        fitted, held = trained.fitted, len(trained.validation)
        table = [[measure(scores, trained.validation) for scores in point] for point in trained.outputs]
        chosen = int(np.argmax(np.mean(table, axis=1)))
        scores = fitted.outputs(test.features, settings.batch_size)
        on_test = [float(np.mean([measure(each, test.found) for each in point])) for point in scores]
        facts = {
            **self._named(fitted.points[chosen]),
            "head seeds": settings.seeds,
            "selected on": f"{held} held-out training items",
            "train items": len(train.found) - held,
            "grid": [
                {
                    **self._named(point),
                    "held out": [round(value, 6) for value in row],
                    "test": round(tested, 6),
                }
                for point, row, tested in zip(fitted.points, table, on_test)
            ],
            "best on test": round(max(on_test), 6),
        }
        rates = settings.learning_rates
        if len(rates) > 2 and facts["learning rate"] in (min(rates), max(rates)):
            facts["warning"] = "the selected learning rate is at the edge of the grid"
        return Predictions(scores[chosen], facts)

    def _named(self, point: tuple[int, float, float]) -> dict[str, Any]:
        """Return the settings of a grid point by name."""
        size, rate, decay = point
        pooler = {"pooler size": self.sizes[size]} if self.sizes else {}
        return {**pooler, "learning rate": rate, "weight decay": decay}
