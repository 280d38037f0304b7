"""Latent prediction with a static teacher: predict a frozen encoder's tokens at hidden places (SALT).

    loss = mean over hidden tokens i and values j of |predictor(visible)[i, j] - norm(teacher(clip))[i, j]|

Source: Li et al. 2025, "Rethinking JEPA: Compute-Efficient Video SSL with Frozen Teachers", second stage: the
loss of V-JEPA 2 (`latent`) with the frozen encoder of `recipe.Stage.teacher` in the place of the moving
average. The paper's teacher is trained on masked pixels (`masked.MaskedModeling` with target='pixels').
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.nn import losses, token_decoder, transformer_stack
from prismlab.core.train import masking, metrics, objective, schedules

TEACHER = objective.View("video", teacher=True)


class StaticLatent(objective.AbstractObjective):
    """Latent prediction loss: mean absolute error to the normalized tokens of the frozen teacher.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view; hidden tokens are predicted.
        decoder: constructor of the predictor's Transformer (`@transformer_stack.Stack`), called with `key`.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the predictor.
    """

    weight: schedules.Number
    mask: masking.Mask
    decoder: token_decoder.TokenDecoder

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        decoder: Callable[..., transformer_stack.Stack] = token_decoder.TRANSFORMER,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        if mask.count(dims.frames, dims.patches) >= dims.tokens:
            raise errors.UserError(
                "latent prediction is scored on hidden tokens, and this mask hides none; lower the mask's "
                "`visible`"
            )
        self.weight, self.mask = weight, mask
        self.decoder = token_decoder.TokenDecoder(
            dims.video_dim, dims.teacher_dim, dims.tokens, decoder, key=key
        )

    def views(self) -> frozenset[objective.View]:
        """Return the views of the masked clip (student) and the intact clip (teacher)."""
        return frozenset({objective.View("video", mask=self.mask), TEACHER})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss over hidden tokens."""
        del key
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        target = losses.standardise(jax.lax.stop_gradient(objective.tokens(seen, TEACHER).x))
        error = losses.absolute_error(self.decoder(student), target)
        hidden = 1.0 - masking.visible_grid(student.place, error.shape[1]).astype(jnp.float32)
        return metrics.Mean.of(error, hidden * batch.weight[:, None]), {}
