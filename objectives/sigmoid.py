"""Sigmoid contrastive loss: each clip-caption pair is a binary classification (SigLIP).

    loss = mean over clips i of  sum over captions j of  -log sigmoid(y_ij (scale v_i t_j' + bias)),
    y_ij = 1 for i = j, else -1

Source: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", equation 1 and algorithm 1 (scale
and bias learnable, from 10 and -10); He et al. 2020, "Momentum Contrast", for the queue, which SigLIP does
not use.
"""

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.nn import losses
from prismlab.core.parallel import mesh
from prismlab.core.train import masking, metrics, objective, objective_state, queue, schedules


def pair_loss(
    logits: Float[Array, "b c"], matches: Bool[Array, "b c"], counted: Bool[Array, "b c"]
) -> Float[Array, " b"]:
    """Sum of the binary cross-entropies of each row, in nats.

    Args:
        logits: float32 [b, c], row = clip, column = caption.
        matches: pairs that belong together; all others do not.
        counted: pairs that count.
    """
    each = jax.nn.softplus(jnp.where(matches, -logits, logits))
    return jnp.sum(jnp.where(counted, each, 0.0), axis=1)


class Sigmoid(objective.AbstractObjective):
    """Sigmoid contrastive loss between pooled clips and captions over the global batch.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        temperature: initial value of the learnable temperature, positive; logits are similarities /
            temperature + bias.
        bias: initial value of the learnable bias; about -log(batch size) or below, since nearly all pairs
            are negative.
        drop: mask applied to the clip's tokens during training; None keeps all.
        ignore_same_caption: leave out off-diagonal pairs with equal captions (false negatives).
        queue: number of captions of past batches that serve as further negatives, at least the batch size;
            on one host only. None for no queue. A caption in the queue is a negative also if it equals the
            clip's.
        dims: sizes of the towers.
        key: unused.
    """

    weight: schedules.Number
    drop: masking.Mask | None
    ignore_same_caption: bool
    log_scale: Float[Array, ""]
    bias: Float[Array, ""]
    past: queue.Queue | None = eqx.field(metadata=objective_state.STATE)

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        temperature: float = 0.1,
        bias: float = -10.0,
        drop: masking.Mask | None = None,
        ignore_same_caption: bool = False,
        queue: int | None = None,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        del key
        if not 0 < temperature < math.inf or not math.isfinite(bias):
            raise errors.UserError(
                f"temperature must be positive and finite, and bias finite, got {temperature} and {bias}"
            )
        if dims.text_dim is not None and dims.text_dim != dims.video_dim:
            raise errors.UserError(
                f"video width {dims.video_dim} and text width {dims.text_dim} must be equal"
            )
        self.weight, self.drop, self.ignore_same_caption = weight, drop, ignore_same_caption
        self.log_scale, self.bias = -jnp.log(jnp.float32(temperature)), jnp.float32(bias)
        self.past = None if queue is None else _queue_of(queue, dims.video_dim)

    def check_batch(self, batch_size: int) -> None:
        """Raise UserError for a batch without negatives, or a queue that the batch does not fit."""
        if batch_size < 2:
            raise errors.UserError(
                f"the sigmoid loss needs negatives, but batch_size={batch_size}; use 2 or more"
            )
        if self.past is not None:
            self.past.check(batch_size)

    @property
    def _clip(self) -> objective.View:
        return objective.View("video", mask=self.drop)

    @property
    def _caption(self) -> objective.View:
        return objective.View("text")

    def views(self) -> frozenset[objective.View]:
        """Return the views of the clip (with token dropping, if set) and its caption."""
        return frozenset({self._clip, self._caption})

    def coupling(self) -> objective.Coupling:
        """Return "pooled": the loss compares the pooled vectors of all examples."""
        return "pooled"

    def observed(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch
    ) -> dict[str, Float[Array, "b ..."]]:
        """Return the captions' vectors of unit length and their weights for the queue, if there is one."""
        if self.past is None:
            return {}
        vectors = losses.normalise(objective.pooled(seen, self._caption))
        return {"captions": vectors, "captioned": batch.text_weight}

    def advanced(
        self,
        towers: Mapping[str, types.Tower],
        observed: Mapping[str, Array],
        weight: Float[Array, " b"],
        step: Int[Array, ""],
    ) -> "Sigmoid":
        """Return the objective with the captions of this batch in front of the queue."""
        del towers, weight, step
        if self.past is None:
            return self
        pushed = self.past.pushed(observed["captions"], observed["captioned"])
        changed: Sigmoid = eqx.tree_at(lambda own: own.past, self, pushed)
        return changed

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, and in-batch accuracy in both directions, temperature and bias as metrics."""
        del key
        clips, captions = objective.pooled(seen, self._clip), objective.pooled(seen, self._caption)
        video, words = losses.normalise(mesh.held(clips)), losses.normalise(mesh.held(captions))
        weight = batch.text_weight
        scale, present = jnp.exp(self.log_scale), weight > 0
        logits = scale * video @ mesh.everywhere(words).T + self.bias
        own = jnp.eye(logits.shape[0], dtype=bool)
        same = jnp.all(batch.text_ids[:, None] == batch.text_ids[None], axis=-1)
        left_out = same & ~own & self.ignore_same_caption
        loss = pair_loss(logits, own, present[None, :] & ~left_out)
        if self.past is not None:
            old = scale * video @ self.past.vectors.T + self.bias
            counted = jnp.broadcast_to(self.past.present[None, :] > 0, old.shape)
            loss = loss + pair_loss(old, jnp.zeros_like(counted), counted)
        absent = jnp.where(present, 0.0, -jnp.inf)
        rows, one = jnp.arange(logits.shape[0]), jnp.float32(1.0)
        to_text = same[rows, jnp.argmax(logits + absent[None, :], axis=1)].astype(jnp.float32)
        to_video = same[rows, jnp.argmax(logits + absent[:, None], axis=0)].astype(jnp.float32)
        return metrics.Mean.of(loss, weight), {
            "video_to_text": metrics.Mean.of(to_text, weight),
            "text_to_video": metrics.Mean.of(to_video, weight),
            "temperature": metrics.Mean(1.0 / scale, one),
            "bias": metrics.Mean(self.bias, one),
        }


def _queue_of(length: int, dim: int) -> queue.Queue:
    """Return an empty queue; a function, since the argument of the constructor hides the module's name."""
    return queue.Queue(length, dim)
