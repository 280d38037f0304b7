"""Latent prediction with an EMA teacher: predict the moving average's tokens at hidden places (V-JEPA 2).

    loss = mean over hidden tokens i and values j of |predictor(visible)[i, j] - norm(average(clip))[i, j]|

Source: Bardes et al. 2024, "Revisiting Feature Prediction for Learning Visual Representations from Video",
equation 1; Assran et al. 2025, "V-JEPA 2", equation 1 and app/vjepa/train.py (targets normalized per token,
loss_exp 1, average after each step). V-JEPA's predictor reads only the masked positions of its two mask sets;
here one mask per view and the decoder of this package.
"""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.nn import losses, token_decoder, transformer_stack
from prismlab.core.train import masking, metrics, moving_average, objective, objective_state, schedules


class LatentPrediction(objective.AbstractObjective):
    """Latent prediction loss: mean absolute error to the normalized tokens of an EMA of the video tower.

    The average starts as a copy of the tower with its initial weights; after each step it moves by 1 - decay
    of the way. `recipe.Stage.encoder` set to this objective's name makes it what is evaluated.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view; hidden tokens are predicted.
        decay: decay of the average, in [0, 1] (V-JEPA 2: 0.99925 with batch 3072); a number or a
            `schedules.Ramp` (V-JEPA: from 0.998 to 1).
        decoder: constructor of the predictor's Transformer (`@transformer_stack.Stack`), called with `key`.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the predictor.
    """

    weight: schedules.Number
    mask: masking.Mask
    decoder: token_decoder.TokenDecoder
    average: moving_average.MovingAverage = eqx.field(metadata=objective_state.STATE)

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        decay: schedules.Number = 0.99925,
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
            dims.video_dim, dims.video_dim, dims.tokens, decoder, key=key
        )
        self.average = moving_average.MovingAverage(("video",), decay)

    def started(self, towers: Mapping[str, types.Tower]) -> "LatentPrediction":
        """Return the objective with an average that begins with a copy of the video tower."""
        return self._with(self.average.started(towers))

    def advanced(
        self,
        towers: Mapping[str, types.Tower],
        observed: Mapping[str, Array],
        weight: Float[Array, " b"],
        step: Int[Array, ""],
    ) -> "LatentPrediction":
        """Return the objective with the average after a step."""
        del observed, weight
        return self._with(self.average.advanced(towers, step))

    def _with(self, average: moving_average.MovingAverage) -> "LatentPrediction":
        changed: LatentPrediction = eqx.tree_at(lambda own: own.average, self, average)
        return changed

    def views(self) -> frozenset[objective.View]:
        """Return the view of the masked clip; the average encodes the intact one itself."""
        return frozenset({objective.View("video", mask=self.mask)})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss over hidden tokens."""
        del key
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        target = self.average.encode("video", batch).tokens
        assert target is not None
        prediction = self.decoder(student)
        error = losses.absolute_error(prediction, losses.standardise(target.x))
        hidden = 1.0 - masking.visible_grid(student.place, prediction.shape[1]).astype(jnp.float32)
        return metrics.Mean.of(error, hidden * batch.weight[:, None]), {}
