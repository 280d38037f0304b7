"""SIGReg: views of a clip agree, and their embeddings are kept an isotropic Gaussian (LeJEPA).

    loss = (1 - balance) * mean over views and values of (z_view - mean over views of z)^2 + balance * SIGReg
    SIGReg = n * mean over random directions a of
        integral of |E exp(i t a'z) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt

Neither teacher, moving average nor stop-gradient: a collapsed embedding is no Gaussian.

Source: Balestriero & LeCun 2025, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the
Heuristics", algorithm 1 (Epps-Pulley statistic, 17 knots, trapezoid rule) and its MINIMAL.md (t from 0 to 3,
doubled for symmetry). Views there are crops; here they are masks of one clip. Its projector has batch norms;
here a layer norm.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import layers
from prismlab.core.parallel import mesh
from prismlab.core.train import masking, metrics, objective, schedules

MASKS = (masking.Tube(0.5), masking.BlockTube(0.5))


def epps_pulley(
    z: Float[Array, "b d"],
    directions: Float[Array, "d a"],
    weight: Float[Array, " b"],
    *,
    knots: int = 17,
    end: float = 3.0,
) -> Float[Array, ""]:
    """Mean Epps-Pulley statistic of projected embeddings against the standard normal; 0 for a perfect match.

    Args:
        z: any float dtype [b, d].
        directions: float32 [d, a], of unit length.
        weight: float32 [b], 0.0 for padding examples.
        knots: points of the integral on [0, end], at least 2.
        end: end of the integral; the integrand is even, so that [-end, 0] counts as much.

    Returns:
        float32 scalar, n times the integral, for n examples.
    """
    shown = (weight > 0).astype(jnp.float32)
    count = jnp.maximum(jnp.sum(shown), 1.0)
    t = np.linspace(0.0, end, knots, dtype=np.float32)
    width = np.full(knots, 2.0 * end / (knots - 1), np.float32)
    width[[0, -1]] /= 2.0
    normal = np.exp(-0.5 * t**2)
    projected = jnp.where(shown[:, None] > 0, z.astype(jnp.float32), 0.0) @ directions
    angles = projected[:, :, None] * t  # [b, a, t]

    def mean(wave: Float[Array, "b a t"]) -> Float[Array, "a t"]:
        return jnp.einsum("b,bat->at", shown, wave) / count

    error = jnp.square(mean(jnp.cos(angles)) - normal) + jnp.square(mean(jnp.sin(angles)))
    return count * jnp.mean(error @ (normal * width))


class SigReg(objective.AbstractObjective):
    """LeJEPA loss: embeddings of masked views agree, and SIGReg keeps them from collapsing.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        masks: masks of the views, at least one, all different; one mask alone gives SIGReg only.
        balance: share of SIGReg, in [0, 1] (LeJEPA's only hyperparameter; 0.05 there).
        slices: number of random directions, drawn again in each step.
        hidden: hidden width of the projector.
        dim: width of the embeddings.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the projector.
    """

    weight: schedules.Number
    masks: tuple[masking.Mask, ...]
    balance: float
    slices: int
    enter: layers.Linear
    norm: layers.LayerNorm
    leave: layers.Linear

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        masks: tuple[masking.Mask, ...] = MASKS,
        balance: float = 0.05,
        slices: int = 256,
        hidden: int = 512,
        dim: int = 64,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        if not 0.0 <= balance <= 1.0:
            raise errors.UserError(f"balance must be in [0, 1], got {balance}")
        if not masks or len({masking.identity(mask) for mask in masks}) < len(masks):
            raise errors.UserError(
                "masks must be at least one and all different, since equal masks see the same tokens; "
                f"got {masks}"
            )
        if slices < 1:
            raise errors.UserError(f"slices must be at least 1, got {slices}")
        self.weight, self.masks, self.balance, self.slices = weight, tuple(masks), balance, slices
        self.enter = layers.Linear(dims.video_dim, hidden, key=keys.fold(key, "enter"))
        self.norm = layers.LayerNorm(hidden)
        self.leave = layers.Linear(hidden, dim, key=keys.fold(key, "leave"))

    def check_batch(self, batch_size: int) -> None:
        """Raise UserError for a batch of one clip, which has no distribution."""
        if batch_size < 2:
            raise errors.UserError(
                f"SIGReg compares a batch with a Gaussian, but batch_size={batch_size}; use 2 or more"
            )

    def _views(self) -> list[objective.View]:
        return [objective.View("video", mask=mask) for mask in self.masks]

    def views(self) -> frozenset[objective.View]:
        """Return one view of the clip for each mask."""
        return frozenset(self._views())

    def coupling(self) -> objective.Coupling:
        """Return "pooled": the statistic is of the whole batch."""
        return "pooled"

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, and the distance between views and SIGReg as metrics."""
        pooled = jnp.stack([mesh.held(objective.pooled(seen, view)) for view in self._views()])
        z = self.leave(layers.gelu(self.norm(self.enter(pooled)))).astype(jnp.float32)  # [views, b, d]
        distance = jnp.mean(jnp.square(z - jnp.mean(z, axis=0)), axis=(0, 2))
        directions = jax.random.normal(keys.fold(key, "directions"), (z.shape[-1], self.slices))
        directions = directions / jnp.linalg.norm(directions, axis=0)
        statistic = jnp.mean(jnp.stack([epps_pulley(each, directions, batch.weight) for each in z]))
        apart, count = metrics.Mean.of(distance, batch.weight), jnp.sum(batch.weight)
        regular = metrics.Mean(jnp.where(count > 0, statistic, 0.0) * count, count)
        total = (1.0 - self.balance) * apart.total + self.balance * regular.total
        return metrics.Mean(total, count), {"between_views": apart, "sigreg": regular}
