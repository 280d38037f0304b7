"""Optimizers on optax (AdamW, Adafactor) with learning rate schedule, decay mask and clipping.

A new optimizer is a frozen dataclass with the members of `Optimizer`.
"""

import dataclasses
import functools
import math
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from prismlab.core import errors, weight_decay
from prismlab.core.train import layer_decay, traced_numbers

DECAYS = ("cosine", "linear", "constant")


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Learning rate schedule: linear warm-up to the peak, then decay to the end value.

    With W warm-up steps of N, step k (from 1) has the rate peak * k / W up to k = W, and then decays so that
    step N has exactly `end`; with `end` 0, the last step changes nothing. Without warm-up the first step has
    the peak, also if it is the only one.

    Args:
        peak: learning rate at the end of the warm-up, > 0.
        warmup_steps: steps of the warm-up, W; must be fewer than the stage's steps.
        end: learning rate of the last step, in [0, peak].
        decay: "cosine", "linear" or "constant".

    Source: VideoPrism Table 10 (stage 1: linear; stage 2: cosine to 1e-5).
    """

    peak: float = 1e-3
    warmup_steps: int = 0
    end: float = 0.0
    decay: str = "cosine"

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise errors.UserError(f"decay must be one of {', '.join(DECAYS)}, got {self.decay!r}")
        if not 0 <= self.end <= self.peak or self.peak <= 0:
            raise errors.UserError(
                f"expected 0 <= end <= peak and peak > 0, got end={self.end}, peak={self.peak}"
            )
        if self.warmup_steps < 0:
            raise errors.UserError(f"warmup_steps must not be negative, got {self.warmup_steps}")
        if not math.isfinite(self.peak):
            raise errors.UserError(f"peak must be finite, got {self.peak}")
        if self.decay == "constant" and self.end:
            raise errors.UserError(
                f"end={self.end} is never reached with decay='constant'; choose another decay"
            )

    def build(self, steps: int) -> optax.Schedule:
        """Return the optax schedule: number of steps taken before -> learning rate of the next step.

        Args:
            steps: total steps of the stage.

        Raises:
            UserError: the warm-up is not shorter than the stage.
        """
        if steps and self.warmup_steps >= steps:
            raise errors.UserError(
                f"warmup_steps must be fewer than the stage's steps, got {self.warmup_steps} of {steps}"
            )
        return functools.partial(_rate, self.decay, self.numbers(steps))

    def numbers(self, steps: int) -> dict[str, float]:
        """Return what the rate of a step depends on besides `decay`, by name; steps count from 0.

        Args:
            steps: see `build`.
        """
        peak_at = max(0, self.warmup_steps - 1)
        return {
            "peak": self.peak,
            "end": self.end,
            "warmup": float(max(1, self.warmup_steps)),
            "peak_at": float(peak_at),
            "rest": float(max(1, steps - 1 - peak_at)),
        }


def _rate(decay: str, values: traced_numbers.Values, count: Any) -> Float[Array, ""]:
    """Return the learning rate after `count` steps; the numbers may be traced."""
    at = jnp.asarray(count, jnp.float32)
    done = jnp.clip((at - values["peak_at"]) / values["rest"], 0.0, 1.0)
    left = {"cosine": 0.5 * (1.0 + jnp.cos(math.pi * done)), "linear": 1.0 - done, "constant": 1.0}[decay]
    lowest = 0.0 if decay == "constant" else values["end"]
    warm = values["peak"] * ((at + 1.0) / values["warmup"])
    return jnp.where(at < values["peak_at"], warm, lowest + (values["peak"] - lowest) * left)


@runtime_checkable
class Optimizer(Protocol):
    """What a stage needs of an optimizer."""

    @property
    def schedule(self) -> Any:
        """The learning rate: has `build(steps)`, which returns step -> rate, for the event log."""
        ...

    def build(self, steps: int) -> traced_numbers.Transformation:
        """Return the optax transformation for a stage with this number of steps."""
        ...


@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW, with decoupled weight decay of matrices.

    Args:
        schedule: the learning rate.
        b1, b2, eps: decay rates of the moments, and epsilon.
        weight_decay: decay per step as a fraction of the learning rate, of the arrays in `weight_decay.mask`.
        clip_norm: upper bound on the global gradient norm, or None.
        layer_decay: learning rate factor per layer of distance from the output, in (0, 1]; see
            `layer_decay.distances`. 1 disables it.

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
        _check_fractions(b1=self.b1, b2=self.b2)
        _check_update(self.weight_decay, self.clip_norm)
        if not 0 < self.eps < math.inf:
            raise errors.UserError(f"eps must be positive, got {self.eps}")

    def build(self, steps: int) -> traced_numbers.Numbered:
        """Return the optax transformation for a stage with this number of steps."""
        return _numbered(self, steps)

    def transformation(self, values: traced_numbers.Values) -> optax.GradientTransformation:
        """Return the optax transformation with these numbers, which may be traced."""
        return _chain(self, optax.scale_by_adam(self.b1, self.b2, self.eps), values)


@dataclasses.dataclass(frozen=True)
class Adafactor:
    """Adafactor with factored second moments, momentum and decoupled weight decay of matrices.

    Updates are not scaled by parameter size, so learning rates are comparable to those of Adam. The paper
    states only the optimizer and its weight decay; the other defaults follow common practice for ViT-g. As in
    optax, a matrix whose second largest axis is below 128 keeps unfactored moments (the encoders' query, key,
    value and output kernels, with heads of 64 or 88), and the update is clipped over all layers of a scanned
    stack at once.

    Args:
        schedule: the learning rate.
        momentum: decay of the first moment, or None.
        decay_rate: exponent of the second moment's decay.
        clip_threshold: upper bound on the root mean square of each block's update.
        weight_decay: decay per step as a fraction of the learning rate.
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
        _check_fractions(momentum=self.momentum, decay_rate=self.decay_rate)
        _check_update(self.weight_decay, self.clip_norm)
        if not 0 < self.clip_threshold < math.inf:
            raise errors.UserError(f"clip_threshold must be positive, got {self.clip_threshold}")

    def build(self, steps: int) -> traced_numbers.Numbered:
        """Return the optax transformation for a stage with this number of steps."""
        return _numbered(self, steps)

    def transformation(self, values: traced_numbers.Values) -> optax.GradientTransformation:
        """Return the optax transformation with these numbers, which may be traced."""
        scale = [
            optax.scale_by_factored_rms(decay_rate=self.decay_rate),
            optax.clip_by_block_rms(self.clip_threshold),
        ]
        if self.momentum is not None:
            scale.append(optax.ema(self.momentum, debias=False))
        return _chain(self, optax.chain(*scale), values)


def _check_fractions(**values: float | None) -> None:
    """Raise ValueError for a decay rate of a moment outside [0, 1)."""
    for name, value in values.items():
        if value is not None and not 0 <= value < 1:
            raise errors.UserError(f"{name} must be in [0, 1), got {value}")


def _check_update(decay: float, clip_norm: float | None) -> None:
    """Raise ValueError for settings that turn the update around, or stop it."""
    if not 0 <= decay < math.inf:
        raise errors.UserError(f"weight_decay must not be negative, got {decay}")
    if clip_norm is not None and not 0 < clip_norm < math.inf:
        raise errors.UserError(f"clip_norm must be positive, or None for no clipping, got {clip_norm}")


def _numbered(optimizer: "AdamW | Adafactor", steps: int) -> traced_numbers.Numbered:
    """Return an optimizer as its numbers and what is left without them."""
    schedule = optimizer.schedule
    schedule.build(steps)  # checks the steps
    values = {**schedule.numbers(steps), "weight_decay": optimizer.weight_decay}
    if optimizer.clip_norm is not None:
        values["clip_norm"] = optimizer.clip_norm
    like = dataclasses.replace(
        optimizer,
        schedule=Schedule(decay=schedule.decay),
        weight_decay=0.0,
        clip_norm=None if optimizer.clip_norm is None else 1.0,
    )
    return traced_numbers.Numbered({name: float(value) for name, value in values.items()}, like)


def _chain(
    like: "AdamW | Adafactor", scale: optax.GradientTransformation, values: traced_numbers.Values
) -> optax.GradientTransformation:
    clip = [] if like.clip_norm is None else [optax.clip_by_global_norm(values["clip_norm"])]
    # A factor of 1 adds nothing to the chain, so that older optimizer checkpoints still load.
    layers = [] if like.layer_decay == 1.0 else [layer_decay.scale_by_layer(like.layer_decay)]
    return optax.chain(
        *clip,
        scale,
        optax.add_decayed_weights(values["weight_decay"], mask=weight_decay.mask),
        optax.scale_by_learning_rate(functools.partial(_rate, like.schedule.decay, values)),
        *layers,
    )
