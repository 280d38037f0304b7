"""Stage 2, local distillation: predict the teacher's token at every position from the visible tokens.

    loss = mean over all tokens of 1 - cos(decoder(visible)[i], teacher[i])

Source: VideoPrism 2.3.2, C.2, Table 11. The pixel target is the standard baseline (MAE, VideoMAE):
squared error to the patch, normalized to mean 0 and variance 1, on masked patches only.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.nn import losses, token_decoder, transformer_stack
from prismlab.core.towers import video
from prismlab.core.train import masking, metrics, objective, schedules

TARGETS = ("teacher", "pixels")


def patch_error(
    prediction: Float[Array, "b s p"], patches: Float[Array, "b s p"], normalise: bool
) -> Float[Array, "b s"]:
    """Mean squared error of each patch, optionally with per-patch normalized targets.

    Args:
        prediction: float [b, s, p].
        patches: float32 [b, s, p], pixels in [0, 1].
        normalise: normalize each target patch to mean 0 and variance 1.

    Source: MAE (He et al. 2022), normalized pixel targets.
    """
    if normalise:
        mean = jnp.mean(patches, axis=-1, keepdims=True)
        patches = (patches - mean) / jnp.sqrt(jnp.var(patches, axis=-1, keepdims=True) + 1e-6)
    return jnp.mean((prediction.astype(jnp.float32) - patches) ** 2, axis=-1)


class MaskedModeling(objective.AbstractObjective):
    """Masked modeling loss: token-wise cosine distance to the frozen teacher's tokens, or pixel error (MAE).

    With the teacher target the loss covers visible and masked positions; with pixels, masked patches only.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view (the paper: BlockTube, 35% visible).
        target: "teacher" (the paper) or "pixels" (the MAE baseline, without a teacher).
        whiten_targets: whiten the teacher's tokens over the batch (`losses.whiten`); off in the paper.
            Teacher target only.
        normalise_pixels: normalize each target patch to mean 0 and variance 1; pixel target only.
        decoder: constructor of the decoder's Transformer (`@transformer_stack.Stack`), called with `key`.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the decoder.
    """

    weight: schedules.Number
    mask: masking.Mask
    target: str
    whiten_targets: bool
    normalise_pixels: bool
    decoder: token_decoder.TokenDecoder

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        target: str = "teacher",
        whiten_targets: bool = False,
        normalise_pixels: bool = True,
        decoder: Callable[..., transformer_stack.Stack] = token_decoder.TRANSFORMER,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        if target not in TARGETS:
            raise errors.UserError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
        if target == "pixels" and mask.count(dims.frames, dims.patches) >= dims.tokens:
            raise errors.UserError(
                "target='pixels' is scored on hidden patches, and this mask hides none; lower the mask's "
                "`visible`"
            )
        self.weight, self.mask, self.target = weight, mask, target
        self.whiten_targets, self.normalise_pixels = whiten_targets, normalise_pixels
        out_dim = dims.teacher_dim if target == "teacher" else dims.patch_values
        self.decoder = token_decoder.TokenDecoder(dims.video_dim, out_dim, dims.tokens, decoder, key=key)

    def views(self) -> frozenset[objective.View]:
        """Return the views of the masked clip and, for the teacher target, the unmasked clip (teacher)."""
        masked = objective.View("video", mask=self.mask)
        return frozenset(
            {masked, objective.View("video", teacher=True)} if self.target == "teacher" else {masked}
        )

    def coupling(self) -> objective.Coupling:
        """Return "tokens" if targets are whitened over the batch, else "none"."""
        return "tokens" if self.whiten_targets and self.target == "teacher" else "none"

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, and its values on visible and on masked positions as metrics."""
        del key
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        prediction = self.decoder(student)
        visible = masking.visible_grid(student.place, prediction.shape[1]).astype(jnp.float32)
        if self.target == "teacher":
            teacher = objective.tokens(seen, objective.View("video", teacher=True))
            target = losses.whiten(teacher.x, batch.weight) if self.whiten_targets else teacher.x
            error = losses.cosine_distance(prediction, jax.lax.stop_gradient(target))
            counted = jnp.ones_like(error)
        else:
            side = round((prediction.shape[-1] // 3) ** 0.5)
            patches = video.patchify(batch.video, side).reshape(prediction.shape)
            error = patch_error(prediction, jax.lax.stop_gradient(patches), self.normalise_pixels)
            counted = 1.0 - visible  # pixel loss on masked patches only (MAE)
        weight = batch.weight[:, None]
        return metrics.Mean.of(error, counted * weight), {
            "visible": metrics.Mean.of(error, visible * weight),
            "hidden": metrics.Mean.of(error, (1.0 - visible) * weight),
        }
