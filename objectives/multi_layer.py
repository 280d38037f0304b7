"""Multi-layer feature distillation: tokens are aligned with the teacher's at two depths of the encoder.

    loss = mean over depths and visible tokens i of 1 - cos(head_depth(student_depth[i]), teacher_depth[i])

Source: Li et al. 2023, "Unmasked Teacher", section 3.1 (features of several layers are aligned, each with a
linear head); Wang et al. 2024, "InternVideo2", section 3.1. The depths of a factorized encoder are the
outputs of its spatial and of its temporal part; there, they are the last six layers of a joint encoder.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import layers, losses
from prismlab.core.train import masking, metrics, objective, schedules

TEACHER = objective.View("video", teacher=True)


def depths(
    seen: Mapping[objective.View, types.Encoded], view: objective.View
) -> tuple[Float[Array, "b m d"], Float[Array, "b m d"]]:
    """Return the tokens of a view after the spatial and after the temporal part of its encoder.

    Args:
        seen: the encodings passed to an objective.
        view: one of them.

    Raises:
        UserError: the tower is not factorized.
    """
    last, spatial = objective.tokens(seen, view).x, seen[view].spatial
    if spatial is None:
        whose = "the teacher's tower" if view.teacher else "the tower"
        raise errors.UserError(
            f"{whose} {view.tower!r} gives no tokens of its spatial part, which multi-layer distillation "
            "needs; use video.VideoTower"
        )
    return spatial, last


class MultiLayerDistillation(objective.AbstractObjective):
    """Multi-layer distillation loss: cosine distance to the teacher's tokens at two depths; no decoder.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view; None shows all tokens.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the heads.
    """

    weight: schedules.Number
    mask: masking.Mask | None
    spatial: layers.Linear
    temporal: layers.Linear

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask | None = None,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        self.weight, self.mask = weight, mask
        self.spatial = layers.Linear(dims.video_dim, dims.teacher_dim, key=keys.fold(key, "spatial"))
        self.temporal = layers.Linear(dims.video_dim, dims.teacher_dim, key=keys.fold(key, "temporal"))

    @property
    def _student(self) -> objective.View:
        return objective.View("video", mask=self.mask)

    def views(self) -> frozenset[objective.View]:
        """Return the views of the student's clip and of the intact clip (teacher)."""
        return frozenset({self._student, TEACHER})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, averaged over the depths, and its value at each depth as a metric."""
        del key
        place = objective.tokens(seen, self._student).place[:, :, None]
        weight, parts = batch.weight[:, None], {}
        both = zip(("spatial", "temporal"), depths(seen, self._student), depths(seen, TEACHER), strict=True)
        for name, student, teacher in both:
            head: layers.Linear = getattr(self, name)
            target = jnp.take_along_axis(jax.lax.stop_gradient(teacher), place, axis=1)
            error = losses.cosine_distance(head(student), target)
            parts[name] = metrics.Mean.of(error, jnp.broadcast_to(weight, error.shape))
        count = parts["spatial"].count
        return metrics.Mean((parts["spatial"].total + parts["temporal"].total) / 2.0, count), parts
