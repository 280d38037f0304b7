"""Stage 1: contrastive video-text loss (CLIP) over the global batch.

    logits = v t' / temperature      loss = (CE(rows) + CE(columns)) / 2

Source: VideoPrism 2.3.1, C.1 (symmetric cross-entropy; tube token dropping 0.5); CLIP for the learnable
temperature, which the paper does not specify.
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
from prismlab.core.train import masking, metrics, objective, schedules

# Similarities are multiplied by at most 100, as in CLIP, for numerical stability.
LEAST_TEMPERATURE = 0.01


def symmetric_cross_entropy(
    logits: Float[Array, "b b"], weight: Float[Array, " b"], left_out: Bool[Array, "b b"]
) -> Float[Array, " b"]:
    """Mean of video-to-text and text-to-video cross-entropy for each clip-caption pair.

    Args:
        logits: float32 [b, b], row = clip, column = caption.
        weight: float32 [b]; padding examples (weight 0) are never candidates.
        left_out: bool [b, b], pairs to exclude as negatives (ignored on the diagonal).

    Returns:
        float32 [b], in nats; padding examples have finite values, to be ignored.
    """
    present = weight > 0
    off_diagonal = ~jnp.eye(logits.shape[0], dtype=bool)
    logits = jnp.where((left_out | ~(present[:, None] & present[None, :])) & off_diagonal, -jnp.inf, logits)
    to_text: Array = -jnp.diagonal(jax.nn.log_softmax(logits, axis=1))
    to_video: Array = -jnp.diagonal(jax.nn.log_softmax(logits, axis=0))
    return (to_text + to_video) / 2


def one_way(
    queries: Float[Array, "b d"],
    keys: Float[Array, "b d"],
    scale: Float[Array, ""],
    text_ids: Int[Array, "b l"],
    weight: Float[Array, " b"],
    *,
    ignore_same: bool,
    chunk: int,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """Memory-efficient one-directional contrastive loss and accuracy, computed in chunks of rows.

    The b x b similarity matrix is never materialized, in the forward or the backward pass. A chunk takes
    every (b / chunk)-th row, so that every device has rows of each chunk.

    Args:
        queries: float32 [b, d], of unit length.
        keys: float32 [b, d], of unit length; replicated on all devices.
        scale: 1 / temperature.
        text_ids: int32 [b, l]; a match with an equal caption counts as correct.
        weight: float32 [b]; padding examples (weight 0) are never candidates.
        ignore_same: exclude other examples with the same caption as negatives.
        chunk: rows per chunk; must divide b.

    Returns:
        Loss float32 [b] in nats, and accuracy float32 [b], 1.0 where the best key has the query's caption.
    """
    batch = queries.shape[0]

    # Row r = i * (b / chunk) + k is row i of chunk k: the sharded axis stays the leading axis.
    def dealt(x: Array) -> Array:
        return x.reshape(chunk, batch // chunk, *x.shape[1:]).swapaxes(0, 1)

    def collected(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(batch)

    present, columns = weight > 0, jnp.arange(batch)

    @jax.checkpoint
    def some(part: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        query, rows, words, here = (mesh.held(each) for each in part)
        logits = scale * query @ keys.T
        same = jnp.all(words[:, None] == text_ids[None], axis=-1)
        own = rows[:, None] == columns[None, :]
        left_out = ~(here[:, None] & present[None, :]) | (same & ignore_same)
        allowed = jnp.where(left_out & ~own, -jnp.inf, logits)
        loss = jax.nn.logsumexp(allowed, axis=1) - jnp.sum(jnp.where(own, logits, 0.0), axis=1)
        best = jnp.argmax(jnp.where(present[None, :], logits, -jnp.inf), axis=1)
        right = jnp.all(text_ids[best] == words, axis=-1)
        return loss, right.astype(jnp.float32)

    loss, right = jax.lax.map(some, tuple(map(dealt, (queries, columns, text_ids, present))))
    return collected(loss), collected(right)


class Contrastive(objective.AbstractObjective):
    """Contrastive loss: symmetric cross-entropy between pooled clips and captions over the global batch.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        temperature: initial value of the learnable temperature, at least 0.01; logits are similarities /
            temperature. After each update it is clamped to 0.01 or more, as in CLIP.
        drop: mask applied to the clip's tokens during training (the paper: Tube(0.5)); None keeps all.
        ignore_same_caption: exclude off-diagonal pairs with equal captions, which would be false
            negatives; off in the paper, useful if captions repeat.
        chunk: rows of the similarity matrix in memory at a time, for large batches; must divide the batch
            size, ideally a multiple of the number of devices. Does not change the loss; None computes
            the full matrix.
        dims: sizes of the towers.
        key: unused.
    """

    weight: schedules.Number
    drop: masking.Mask | None
    ignore_same_caption: bool
    chunk: int | None
    log_scale: Float[Array, ""]

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        temperature: float = 0.07,
        drop: masking.Mask | None = None,
        ignore_same_caption: bool = False,
        chunk: int | None = None,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        del key
        if not LEAST_TEMPERATURE <= temperature < math.inf:
            raise errors.UserError(
                f"temperature must be at least {LEAST_TEMPERATURE} and finite, got {temperature}"
            )
        if dims.text_dim is not None and dims.text_dim != dims.video_dim:
            raise errors.UserError(
                f"video width {dims.video_dim} and text width {dims.text_dim} must be equal"
            )
        if chunk is not None and chunk < 1:
            raise errors.UserError(f"chunk must be at least 1, or None, got {chunk}")
        self.weight, self.drop, self.ignore_same_caption = weight, drop, ignore_same_caption
        self.chunk = chunk
        self.log_scale = -jnp.log(jnp.float32(temperature))

    def projected(self) -> "Contrastive":
        """Return the objective with a temperature of at least 0.01."""
        highest = jnp.float32(-math.log(LEAST_TEMPERATURE))
        clamped = jnp.minimum(self.log_scale, highest)
        inside: Contrastive = eqx.tree_at(lambda own: own.log_scale, self, clamped)
        return inside

    def check_batch(self, batch_size: int) -> None:
        """Raise UserError for a batch without negatives, or one that `chunk` does not divide."""
        if batch_size < 2:
            raise errors.UserError(
                f"the contrastive loss needs negatives, but batch_size={batch_size}; use 2 or more"
            )
        if self.chunk is not None and batch_size % self.chunk:
            raise errors.UserError(
                f"contrastive.Contrastive.chunk={self.chunk} must divide the batch size {batch_size}"
            )

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

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, and in-batch accuracy in both directions and the temperature as metrics."""
        del key
        clips, captions = objective.pooled(seen, self._clip), objective.pooled(seen, self._caption)
        scale = jnp.exp(self.log_scale)
        temperature = metrics.Mean(1.0 / scale, jnp.float32(1.0))
        # Each device compares its rows with all others; the gathered vectors are small next to activations.
        video, words = losses.normalise(mesh.held(clips)), losses.normalise(mesh.held(captions))
        if self.chunk is not None:
            loss, named = self._by_chunks(video, words, scale, batch)
            return loss, {**named, "temperature": temperature}
        logits = scale * video @ mesh.everywhere(words).T
        same = jnp.all(batch.text_ids[:, None] == batch.text_ids[None], axis=-1)
        left_out = same & ~jnp.eye(logits.shape[0], dtype=bool) & self.ignore_same_caption
        loss = metrics.Mean.of(
            symmetric_cross_entropy(logits, batch.text_weight, left_out), batch.text_weight
        )
        # A match with an equal caption counts as correct.
        present = jnp.where(batch.text_weight > 0, 0.0, -jnp.inf)
        rows = jnp.arange(logits.shape[0])
        to_text = same[rows, jnp.argmax(logits + present[None, :], axis=1)].astype(jnp.float32)
        to_video = same[rows, jnp.argmax(logits + present[:, None], axis=0)].astype(jnp.float32)
        return loss, {
            "video_to_text": metrics.Mean.of(to_text, batch.text_weight),
            "text_to_video": metrics.Mean.of(to_video, batch.text_weight),
            "temperature": temperature,
        }

    def _by_chunks(
        self, video: Array, words: Array, scale: Array, batch: types.Batch
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        size = video.shape[0]
        assert self.chunk is not None
        if size % self.chunk:
            fits = " or ".join(map(str, mesh.nearest(self.chunk, size)))
            raise errors.UserError(
                f"contrastive.Contrastive.chunk={self.chunk} does not divide the batch of {size}; use {fits}"
            )
        text_ids, weight = mesh.everywhere(batch.text_ids), mesh.everywhere(batch.text_weight)
        both = [
            one_way(
                queries, mesh.everywhere(keys), scale, text_ids, weight,
                ignore_same=self.ignore_same_caption, chunk=self.chunk,
            )
            for queries, keys in ((video, words), (words, video))
        ]  # fmt: skip
        (to_text, text_right), (to_video, video_right) = both
        return metrics.Mean.of((to_text + to_video) / 2, batch.text_weight), {
            "video_to_text": metrics.Mean.of(text_right, batch.text_weight),
            "text_to_video": metrics.Mean.of(video_right, batch.text_weight),
        }
