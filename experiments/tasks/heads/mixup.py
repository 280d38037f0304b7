"""Mixup and CutMix on the device: mix clips of a batch and their targets, for supervised heads.

To add another one, write a frozen dataclass with the call signature of `Mix`; `tuning.Tuning.mix` lists those
to sample from. Example i is mixed with example i - 1 (cyclically), so no second batch is needed.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys

Mixed = tuple[Float[Array, "b t height width 3"], Float[Array, "b c"]]


class Mix(Protocol):
    """Mixes each clip of a batch, and its targets, with the previous example of the batch."""

    def __call__(
        self,
        video: Float[Array, "b t height width 3"],
        targets: Float[Array, "b c"],
        weight: Float[Array, " b"],
        *,
        key: PRNGKeyArray,
    ) -> Mixed:
        """Return the mixed clips and targets.

        Args:
            video: float32 in [0, 1].
            targets: float32, one distribution over classes per example.
            weight: float32; padding examples (weight 0) are never mixing partners.
            key: JAX key of this step.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Mixup:
    """Blend clips and targets with a coefficient drawn per example.

    Args:
        alpha: both parameters of the Beta distribution of the coefficient, above 0.

    Source: Zhang et al. 2018 (mixup).
    """

    alpha: float = 0.8

    def __post_init__(self) -> None:
        _above_zero(self.alpha)

    def __call__(
        self,
        video: Float[Array, "b t height width 3"],
        targets: Float[Array, "b c"],
        weight: Float[Array, " b"],
        *,
        key: PRNGKeyArray,
    ) -> Mixed:
        """Return the mixed clips and targets."""
        share = jax.random.beta(keys.fold(key, "mixup"), self.alpha, self.alpha, weight.shape)
        return _blend(video, share, weight), _blend(targets, share, weight)


@dataclasses.dataclass(frozen=True)
class Cutmix:
    """Replace one rectangle, in all frames, by that of the previous example; mix targets by its area.

    Args:
        alpha: both parameters of the Beta distribution of the fraction kept, above 0.

    Source: Yun et al. 2019 (CutMix).
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _above_zero(self.alpha)

    def __call__(
        self,
        video: Float[Array, "b t height width 3"],
        targets: Float[Array, "b c"],
        weight: Float[Array, " b"],
        *,
        key: PRNGKeyArray,
    ) -> Mixed:
        """Return the mixed clips and targets."""
        b, _, height, width, _ = video.shape
        share = jax.random.beta(keys.fold(key, "cutmix"), self.alpha, self.alpha, (b,))
        side = jnp.sqrt(1.0 - share)
        middle = jax.random.uniform(keys.fold(key, "cutmix", "middle"), (b, 2))
        rows = _inside(middle[:, 0], side, height)
        columns = _inside(middle[:, 1], side, width)
        taken = rows[:, :, None] & columns[:, None, :] & (jnp.roll(weight, 1) > 0)[:, None, None]
        mixed = jnp.where(taken[:, None, :, :, None], jnp.roll(video, 1, axis=0), video)
        return mixed, _blend(targets, 1.0 - jnp.mean(taken, axis=(1, 2), dtype=targets.dtype), weight)


def _above_zero(alpha: float) -> None:
    if not alpha > 0.0:
        raise errors.UserError(f"alpha must be above 0, got {alpha}")


def _inside(middle: Float[Array, " b"], side: Float[Array, " b"], length: int) -> Array:
    position = (jnp.arange(length) + 0.5) / length
    return jnp.abs(position[None] - middle[:, None]) < side[:, None] / 2


def _blend(values: Array, share: Float[Array, " b"], weight: Float[Array, " b"]) -> Array:
    wide = (-1,) + (1,) * (values.ndim - 1)
    neighbour = jnp.where((jnp.roll(weight, 1) > 0).reshape(wide), jnp.roll(values, 1, axis=0), values)
    return share.reshape(wide) * values + (1.0 - share.reshape(wide)) * neighbour
