"""Numbers that may change with the training step: weights of losses, decays of moving averages."""

import dataclasses
import math
from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from prismlab.core import errors

SHAPES = ("linear", "cosine")


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Number that moves from one value to another over some steps and is constant before and after.

    Step k (from 0) has the share x = (k - after) / steps of the way, clipped to [0, 1]; "cosine" replaces x
    by (1 - cos(pi x)) / 2.

    Args:
        start: value up to the step `after`.
        end: value from the step `after + steps` on.
        steps: number of steps of the way, at least 1.
        after: step at which the way begins, at least 0.
        shape: "linear" or "cosine".
    """

    start: float
    end: float
    steps: int
    after: int = 0
    shape: str = "linear"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.after < 0:
            raise errors.UserError(
                f"steps must be at least 1 and after at least 0, got {self.steps} and {self.after}"
            )
        if self.shape not in SHAPES:
            raise errors.UserError(f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}")

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """Return the value of a step, float32 scalar; steps count from 0."""
        share = jnp.clip((jnp.asarray(step, jnp.float32) - self.after) / self.steps, 0.0, 1.0)
        if self.shape == "cosine":
            share = (1.0 - jnp.cos(math.pi * share)) / 2.0
        # This form has exactly `start` and `end` at its ends.
        return (1.0 - share) * self.start + share * self.end


Number: TypeAlias = float | Ramp


def value(number: Any, step: Int[Array, ""] | int) -> Any:
    """Return the value of a number at a step (from 0): itself unless it is a `Ramp`."""
    return number(step) if isinstance(number, Ramp) else number


def ends(number: Number) -> tuple[float, float]:
    """Return the smallest and the largest value that a number takes."""
    both = (number.start, number.end) if isinstance(number, Ramp) else (number, number)
    return min(both), max(both)
