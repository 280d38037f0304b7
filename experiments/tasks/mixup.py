"""Mixup and cutmix on the device: pairs of clips and of their targets, for supervised heads.

Yours: a frozen dataclass called as `Mix` is; `tuning.Setup.mix` names those that a fine-tuning draws from.
Example i is mixed with the example before it, so that a mix never leaves the batch and needs no second one.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys

Mixed = tuple[Float[Array, "b t height width 3"], Float[Array, "b c"]]


class Mix(Protocol):
    """Blends each clip of a batch, and its targets, with its neighbour's."""

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
            targets: float32, one distribution over classes an example.
            weight: float32; a placeholder (weight 0) is mixed into nobody.
            key: randomness of this step.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Mixup:
    """Blend by one share that is drawn for each example.

    Args:
        alpha: both parameters of the Beta distribution of the share, above 0.

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
    """Replace one rectangle of each clip, in all frames, by its neighbour's; targets go by its area.

    Args:
        alpha: both parameters of the Beta distribution of the share that stays, above 0.

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
        raise ValueError(f"alpha must be above 0, got {alpha}")


def _inside(middle: Float[Array, " b"], side: Float[Array, " b"], length: int) -> Array:
    place = (jnp.arange(length) + 0.5) / length
    return jnp.abs(place[None] - middle[:, None]) < side[:, None] / 2


def _blend(values: Array, share: Float[Array, " b"], weight: Float[Array, " b"]) -> Array:
    wide = (-1,) + (1,) * (values.ndim - 1)
    neighbour = jnp.where((jnp.roll(weight, 1) > 0).reshape(wide), jnp.roll(values, 1, axis=0), values)
    return share.reshape(wide) * values + (1.0 - share.reshape(wide)) * neighbour
