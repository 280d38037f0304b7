"""A head of its own for each label set: trained in one program, no weight in common, selected one by one."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import pooling
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import classifier as classifiers
from prismlab.experiments.tasks.heads import head_grid, probe
from prismlab.experiments.tasks.interface import items


class SeparateHeads(eqx.Module):
    """Heads that read the same features, with their logits side by side.

    The loss is a sum over label sets, so each head gets the gradient that it would get alone.
    """

    parts: tuple[Any, ...]

    def __call__(self, x: Float[Array, "b ..."], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits of all label sets; with a key, apply dropout."""
        if not all(isinstance(part, classifiers.AttentionHead) for part in self.parts):
            return jnp.concatenate([part(x, key) for part in self.parts], axis=-1)
        pooled = _pooled([part.pooler for part in self.parts], x)
        return jnp.concatenate([part.read(each, key) for part, each in zip(self.parts, pooled)], axis=-1)


def _pooled(poolers: Sequence[pooling.AttentionPooler], x: Float[Array, "b s d"]) -> Float[Array, "sets b d"]:
    """Pool with poolers of one size at once: one product over the tokens for all of them is faster."""
    arrays, static = zip(*(eqx.partition(pooler, eqx.is_array) for pooler in poolers))
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *arrays)
    return jax.vmap(lambda one: eqx.combine(one, static[0])(x))(stacked)


@dataclasses.dataclass(frozen=True)
class Separate:
    """A classifier for each label set, instead of one whose pooler all of them share.

    Args:
        classifier: settings of each, see `probe.Classifier`.
        counts: number of classes of each label set, in the order of `items.ItemSet.label_sets`.
    """

    classifier: probe.Classifier
    counts: tuple[int, ...]

    def build(self, shape: tuple[int, ...], classes: int, *, key: PRNGKeyArray) -> SeparateHeads:
        """Return a head for features [b, *shape]; every set has its own random key.

        Raises:
            UserError: the label sets do not have `classes` classes together.
        """
        if sum(self.counts) != classes:
            raise errors.UserError(
                f"separate.Separate.counts: expected {classes} classes in all, got {self.counts}"
            )
        return SeparateHeads(
            tuple(
                self.classifier.build(shape, count, key=keys.fold(key, "set", place))
                for place, count in enumerate(self.counts)
            )
        )


def predict(
    classifier: probe.Classifier,
    grid: head_grid.Grid,
    train: feature_set.Encoded,
    test: feature_set.Encoded,
    measure: probe.Measure,
    *,
    seed: int,
) -> Iterator[tuple[Float32[np.ndarray, "k n c"], items.ItemSet]]:
    """Train the heads of all label sets at once; yield what those of each set say about the test items.

    Args:
        classifier: settings of each head.
        grid: hyperparameters; each set selects its own grid point on the held-out training items.
        train: training items and their features.
        test: test items and their features; their labels are not read.
        measure: compares grid points, on single-label items.
        seed: the experiment's seed.

    Yields:
        Probabilities of each head seed, and the test items with the labels of this set.
    """
    bounds = train.found.set_bounds()
    head = Separate(classifier, tuple(end - start for _, start, end in bounds))
    trained = probe.Probe(head, grid).train(train, seed=seed)
    answers = trained.fitted.outputs(test.features, grid.batch_size)
    for name, start, end in bounds:
        held = trained.validation.of_set(name)
        table = [[measure(scores[:, start:end], held) for scores in point] for point in trained.outputs]
        chosen = int(np.argmax(np.mean(table, axis=1)))
        yield answers[chosen][..., start:end], test.found.of_set(name)
