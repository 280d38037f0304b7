"""Unmasked-token distillation: visible tokens are aligned with the teacher's tokens at the same places (UMT).

    loss = mean over visible tokens i of 2 - 2 cos(head(student[i]), teacher[i])

Source: Li et al. 2023, "Unmasked Teacher: Towards Training-Efficient Video Foundation Models", section 3.1
(mean squared error between tokens of unit length, which is 2 - 2 cos). There, the mask keeps the tokens to
which the teacher attends most, and several layers are aligned (`multi_layer`); here, `mask` is any mask.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from prismlab.core import keys, types
from prismlab.core.nn import layers, losses
from prismlab.core.train import masking, metrics, objective, schedules

TEACHER = objective.View("video", teacher=True)
MASK = masking.Tube(0.2)


class UnmaskedDistillation(objective.AbstractObjective):
    """Unmasked-token distillation loss: squared distance of unit vectors at visible tokens; no decoder.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view (the paper: 20 % visible).
        dims: sizes of the towers.
        key: JAX key for the initial weights of the head.
    """

    weight: schedules.Number
    mask: masking.Mask
    norm: layers.LayerNorm
    head: layers.Linear

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = MASK,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        self.weight, self.mask = weight, mask
        self.norm = layers.LayerNorm(dims.video_dim)
        self.head = layers.Linear(dims.video_dim, dims.teacher_dim, key=keys.fold(key, "head"))

    def views(self) -> frozenset[objective.View]:
        """Return the views of the masked clip (student) and the intact clip (teacher)."""
        return frozenset({objective.View("video", mask=self.mask), TEACHER})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss over visible tokens."""
        del key
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        teacher = jax.lax.stop_gradient(objective.tokens(seen, TEACHER).x)
        target = jnp.take_along_axis(teacher, student.place[:, :, None], axis=1)
        error = 2.0 * losses.cosine_distance(self.head(self.norm(student.x)), target)
        return metrics.Mean.of(error, jnp.broadcast_to(batch.weight[:, None], error.shape)), {}
