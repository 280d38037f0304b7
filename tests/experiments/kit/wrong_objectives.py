"""Objectives that are wrong on purpose, and a right one: what the contract must tell apart.

Source: invented for these tests.
"""

import jax
import jax.numpy as jnp

from prismlab.core.train import masking, metrics, objective

INTACT = objective.View("video")
HIDDEN = objective.View("video", mask=masking.Tube(0.5))


class Right(objective.AbstractObjective):
    """Squared length of the pooled clip.

    Args:
        weight: factor of this loss in the sum.
        dims: unused.
        key: unused.
    """

    weight: float

    def __init__(self, weight=1.0, *, dims, key):
        del dims, key
        self.weight = weight

    def views(self):
        return frozenset({INTACT})

    def __call__(self, seen, batch, *, key):
        return metrics.Mean.of(self.of_each(seen), batch.weight), {}

    def of_each(self, seen, view=INTACT):
        """Return the squared length of each clip, in float32."""
        return jnp.sum(jnp.square(seen[view].pooled.astype(jnp.float32)), axis=-1)


class Leaks(Right):
    """Predicts the intact clip from a masked view and from the intact clip itself."""

    def views(self):
        return frozenset({INTACT, HIDDEN})

    def __call__(self, seen, batch, *, key):
        error = self.of_each(seen) - self.of_each(seen, HIDDEN)
        return metrics.Mean.of(jnp.square(error), batch.weight), {}


class TeachesItself(Leaks):
    """The same with the gradient of its target stopped: no leak."""

    def __call__(self, seen, batch, *, key):
        error = jax.lax.stop_gradient(self.of_each(seen)) - self.of_each(seen, HIDDEN)
        return metrics.Mean.of(jnp.square(error), batch.weight), {}


class DependsOnOrder(Right):
    """Weighs each example by its place in the batch."""

    def __call__(self, seen, batch, *, key):
        each = self.of_each(seen)
        return metrics.Mean.of(each * (1.0 + jnp.arange(len(each))), batch.weight), {}


class CountsPadding(Right):
    """Takes the mean over all examples, padding examples too."""

    def __call__(self, seen, batch, *, key):
        each = self.of_each(seen)
        return metrics.Mean.of(each, jnp.ones_like(batch.weight)), {}


class DividesBySize(Right):
    """Divides by the size of the batch."""

    def __call__(self, seen, batch, *, key):
        each = self.of_each(seen) * batch.weight
        return metrics.Mean.of(each, jnp.ones_like(batch.weight)), {}
