"""Optimizers with warm-up, decay of the rate, decay masks and clipping, on optax.

A new optimizer is one frozen dataclass with `build(steps) -> optax.GradientTransformation`.
"""

import dataclasses
from typing import Any

import jax
import optax

from prismlab.core import errors
from prismlab.core.train import layer_decay

DECAYS = ("cosine", "linear", "constant")
# Matrices decay; biases, norms, positions, queries and temperatures do not (VideoGLUE appendix D).
DECAYED_NAMES = ("kernel", "w")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0 to the peak, then a decay to the end value at the last step.

    Args:
        peak: learning rate after the warm-up, > 0.
        warmup_steps: steps of the warm-up; must be fewer than the stage's steps.
        end: learning rate at the last step, in [0, peak].
        decay: "cosine", "linear" or "constant".

    Source: VideoPrism Table 10 (stage 1: linear; stage 2: cosine to 1e-5).
    """

    peak: float = 1e-3
    warmup_steps: int = 0
    end: float = 0.0
    decay: str = "cosine"

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise ValueError(f"decay must be one of {', '.join(DECAYS)}, got {self.decay!r}")
        if not 0 <= self.end <= self.peak or self.peak <= 0:
            raise ValueError(f"want 0 <= end <= peak and peak > 0, got end={self.end}, peak={self.peak}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, got {self.warmup_steps}")

    def build(self, steps: int) -> optax.Schedule:
        """Return step -> learning rate.

        Args:
            steps: steps of the whole stage.

        Raises:
            UserError: the warm-up is not shorter than the stage.
        """
        if steps and self.warmup_steps >= steps:
            raise errors.UserError(
                f"warmup_steps must be fewer than the stage's steps, got {self.warmup_steps} of {steps}"
            )
        rest = max(1, steps - self.warmup_steps)
        if self.decay == "cosine":
            after = optax.cosine_decay_schedule(self.peak, rest, alpha=self.end / self.peak)
        elif self.decay == "linear":
            after = optax.linear_schedule(self.peak, self.end, rest)
        else:
            after = optax.constant_schedule(self.peak)
        warmup = optax.linear_schedule(0.0, self.peak, max(1, self.warmup_steps))
        return optax.join_schedules([warmup, after], [self.warmup_steps]) if self.warmup_steps else after


def decay_mask(params: Any) -> Any:
    """Return a tree of booleans: True where weight decay applies (the last name of the path decides)."""

    def decays(path: tuple, leaf: Any) -> bool:
        return jax.tree_util.keystr(path[-1:], simple=True) in DECAYED_NAMES

    return jax.tree_util.tree_map_with_path(decays, params)


@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW with decoupled decay of matrices.

    Args:
        schedule: the learning rate.
        b1, b2, eps: moments and their guard.
        weight_decay: decay per step as a share of the learning rate.
        clip_norm: upper bound on the global gradient norm, or None.
        layer_decay: factor on the learning rate for every layer further from the output, in (0, 1]; see
            `layer_decay.distances`. 1 trains all layers alike.

    Source: Loshchilov & Hutter 2019; VideoPrism appendix E for the evaluation heads.
    """

    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-4
    clip_norm: float | None = 1.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        layer_decay.check(self.layer_decay)

    def build(self, steps: int) -> optax.GradientTransformation:
        """Return the transformation for a stage of so many steps."""
        return _chain(
            self.clip_norm,
            optax.scale_by_adam(self.b1, self.b2, self.eps),
            self.weight_decay,
            self.schedule.build(steps),
            self.layer_decay,
        )


@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Adafactor with factored second moments, momentum and decoupled decay of matrices.

    Updates are not scaled by the size of the parameters, so learning rates read like Adam's; the
    decay is a share of the learning rate. The paper names the optimizer and its decay only; the
    other settings follow common practice for ViT-g training.

    Args:
        schedule: the learning rate.
        momentum: decay of the first moment, or None.
        decay_rate: exponent of the second moment's decay.
        clip_threshold: bound on the root mean square of each block's update.
        weight_decay: decay per step as a share of the learning rate.
        clip_norm: upper bound on the global gradient norm, or None.
        layer_decay: as in AdamW.

    Source: Shazeer & Stern 2018; VideoPrism Table 10.
    """

    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    momentum: float | None = 0.9
    decay_rate: float = 0.8
    clip_threshold: float = 1.0
    weight_decay: float = 1e-4
    clip_norm: float | None = None
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        layer_decay.check(self.layer_decay)

    def build(self, steps: int) -> optax.GradientTransformation:
        """Return the transformation for a stage of so many steps."""
        scale = [
            optax.scale_by_factored_rms(decay_rate=self.decay_rate),
            optax.clip_by_block_rms(self.clip_threshold),
        ]
        if self.momentum is not None:
            scale.append(optax.ema(self.momentum, debias=False))
        rate = self.schedule.build(steps)
        return _chain(self.clip_norm, optax.chain(*scale), self.weight_decay, rate, self.layer_decay)


def _chain(
    clip_norm: float | None,
    scale: optax.GradientTransformation,
    decay: float,
    rate: optax.Schedule,
    by_layer: float,
) -> optax.GradientTransformation:
    clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm is not None else []
    # A factor of 1 adds nothing to the chain, so that older checkpoints of the optimizer still fit.
    layers = [layer_decay.scale_by_layer(by_layer)] if by_layer != 1.0 else []
    return optax.chain(
        *clip,
        scale,
        optax.add_decayed_weights(decay, mask=decay_mask),
        optax.scale_by_learning_rate(rate),
        *layers,
    )
