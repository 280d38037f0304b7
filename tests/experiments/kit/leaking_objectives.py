"""Objectives that read what their mask hides past the views, and some that only take targets from it.

Source: invented for these tests.
"""

import functools

import jax
import jax.numpy as jnp

from prismlab.core import keys
from prismlab.core.nn import layers, losses, transformer_stack
from prismlab.core.towers import video_encoder
from prismlab.core.train import masking, metrics, objective
from prismlab.experiments.kit import strategies

MASKED = objective.View("video", mask=masking.Tube(0.5))
TEACHER = objective.View("video", teacher=True)
STACK = functools.partial(transformer_stack.Stack, 1, 8, 2, 8, remat="none")


def pixels(batch):
    """Return the patches of a clip, [b, tokens, values]."""
    patches = video_encoder.patchify(batch.video, strategies.PATCH)
    return patches.reshape(len(patches), strategies.TOKENS, -1)


class PredictsPixels(objective.AbstractObjective):
    """Predicts the mean patch of the clip from the mean visible token.

    Args:
        weight: factor of this loss in the sum.
        dims: sizes of the towers.
        key: JAX key of the initial weights.
    """

    weight: float
    head: layers.Linear
    other: layers.Linear
    gate: jax.Array
    decoder: transformer_stack.Stack

    def __init__(self, weight=1.0, *, dims, key):
        self.weight = weight
        self.head = layers.Linear(dims.video_dim, dims.patch_values, key=keys.fold(key, "head"))
        self.other = layers.Linear(dims.patch_values, dims.patch_values, key=keys.fold(key, "other"))
        self.gate, self.decoder = jnp.ones(dims.patch_values), STACK(key=keys.fold(key, "decoder"))

    def views(self):
        return frozenset({MASKED})

    def prediction(self, seen, batch):
        """Return one vector a clip."""
        return self.head(objective.pooled(seen, MASKED))

    def target(self, seen, batch):
        """Return one vector a clip."""
        return jax.lax.stop_gradient(jnp.mean(pixels(batch), axis=1))

    def __call__(self, seen, batch, *, key):
        error = jnp.square(self.prediction(seen, batch) - self.target(seen, batch))
        return metrics.Mean.of(jnp.mean(error, axis=-1), batch.weight), {}


class LeavesTargetOpen(PredictsPixels):
    """Does not stop the gradient of its target: the contract cannot tell it from a part of the prediction."""

    def target(self, seen, batch):
        return jnp.mean(pixels(batch), axis=1)


class ReadsPixels(PredictsPixels):
    """Predicts a place from the pixels of all places."""

    def prediction(self, seen, batch):
        return super().prediction(seen, batch) + self.other(jnp.mean(pixels(batch), axis=1))


class ReadsStoppedPixels(PredictsPixels):
    """The same, with the gradient stopped before the trained weight and not after it."""

    def prediction(self, seen, batch):
        read = jax.lax.stop_gradient(jnp.mean(pixels(batch), axis=1))
        return super().prediction(seen, batch) + self.other(read)


class GatesStoppedPixels(PredictsPixels):
    """Weighs hidden pixels value by value."""

    def prediction(self, seen, batch):
        return super().prediction(seen, batch) + self.gate * self.target(seen, batch)


class DecodesTeacher(PredictsPixels):
    """Hands the teacher's tokens to its decoder, beside the visible ones, in a loop over layers."""

    def views(self):
        return frozenset({MASKED, TEACHER})

    def prediction(self, seen, batch):
        tokens = [objective.tokens(seen, view).x for view in (MASKED, TEACHER)]
        return self.head(jnp.mean(self.decoder(jnp.concatenate(tokens, axis=1)), axis=1))


class ReadsVisiblePixels(PredictsPixels):
    """Predicts from the pixels of visible places, which hide nothing."""

    def prediction(self, seen, batch):
        place = objective.tokens(seen, MASKED).place[:, :, None]
        visible = jnp.take_along_axis(pixels(batch), place, axis=1)
        return super().prediction(seen, batch) + jnp.mean(visible, axis=1)


class ProjectsItsTarget(PredictsPixels):
    """Makes its target with trained weights that get no gradient there, and divides by a temperature."""

    def target(self, seen, batch):
        return jax.lax.stop_gradient(self.other(jnp.mean(pixels(batch), axis=1)))

    def __call__(self, seen, batch, *, key):
        error = losses.cosine_distance(self.prediction(seen, batch), self.target(seen, batch))
        return metrics.Mean.of(error * jnp.exp(self.gate[0]), batch.weight), {}


class HasNoMask(ReadsPixels):
    """Reads pixels beside the intact clip: nothing is hidden."""

    def views(self):
        return frozenset({objective.View("video")})

    def prediction(self, seen, batch):
        return self.head(objective.pooled(seen, objective.View("video"))) + self.other(
            jnp.mean(pixels(batch), axis=1)
        )


class LoopsUntilDone(PredictsPixels):
    """Reads pixels in a `while` loop, behind a `cond`."""

    def prediction(self, seen, batch):
        read = self.target(seen, batch)

        def body(carry):
            count, _, kept = carry
            return count + 1, self.other(kept), jax.lax.cond(count > 0, lambda: read, lambda: kept)

        start = (0, jnp.zeros_like(read), jnp.zeros_like(read))
        return (
            super().prediction(seen, batch) + jax.lax.while_loop(lambda carry: carry[0] < 2, body, start)[1]
        )
