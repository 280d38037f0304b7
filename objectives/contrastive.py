"""Stage 1: match each clip with its caption within the global batch.

    logits = v t' / temperature      loss = (CE(rows) + CE(columns)) / 2

Source: VideoPrism 2.3.1, C.1 (symmetric cross-entropy; tube token dropping 0.5); CLIP for the learnable
temperature, which the paper does not state.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from core import losses, masking, metrics, objective, types


def symmetric_cross_entropy(
    logits: Float[Array, "b b"], weight: Float[Array, " b"], left_out: Bool[Array, "b b"]
) -> Float[Array, " b"]:
    """Return each pair's mean of video-to-text and text-to-video cross-entropy.

    Args:
        logits: float32 [b, b], row = clip, column = caption.
        weight: float32 [b]; an example with weight 0 is no candidate for anybody.
        left_out: bool [b, b], pairs that are neither positive nor negative (never on the diagonal).

    Returns:
        float32 [b], in nats; rows with weight 0 hold finite values to be ignored.
    """
    present = weight > 0
    off_diagonal = ~jnp.eye(logits.shape[0], dtype=bool)
    logits = jnp.where((left_out | ~(present[:, None] & present[None, :])) & off_diagonal, -jnp.inf, logits)
    to_text = -jnp.diagonal(jax.nn.log_softmax(logits, axis=1))
    to_video = -jnp.diagonal(jax.nn.log_softmax(logits, axis=0))
    return (to_text + to_video) / 2


class Contrastive(objective.AbstractObjective):
    """Symmetric cross-entropy between pooled clips and captions over the global batch.

    Args:
        weight: factor of this loss in the sum.
        temperature: initial temperature, learnable; the logits are similarities / temperature.
        drop: mask of the clip's tokens during training (the paper: Tube(0.5)); None keeps all.
        ignore_same_caption: leave out off-diagonal pairs whose captions are equal, which would be
            false negatives; off in the paper, useful where captions repeat.
        dims: sizes of the towers.
        key: unused, nothing here is random at the start.
    """

    weight: float
    drop: masking.Mask | None
    ignore_same_caption: bool
    log_scale: Float[Array, ""]

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 0.07,
        drop: masking.Mask | None = None,
        ignore_same_caption: bool = False,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        del key
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if dims.text_dim is not None and dims.text_dim != dims.video_dim:
            raise ValueError(f"video width {dims.video_dim} and text width {dims.text_dim} must be equal")
        self.weight, self.drop, self.ignore_same_caption = weight, drop, ignore_same_caption
        self.log_scale = -jnp.log(jnp.float32(temperature))

    @property
    def _clip(self) -> objective.View:
        return objective.View("video", mask=self.drop)

    @property
    def _caption(self) -> objective.View:
        return objective.View("text")

    def views(self) -> frozenset[objective.View]:
        """Return the clip (perhaps with tokens dropped) and its caption."""
        return frozenset({self._clip, self._caption})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, in-batch accuracy both ways and the temperature."""
        del key
        clips, captions = objective.pooled(seen, self._clip), objective.pooled(seen, self._caption)
        # At most 100, as in CLIP: beyond that a float32 softmax has nothing left to learn from.
        scale = jnp.exp(jnp.minimum(self.log_scale, jnp.log(100.0)))
        logits = scale * losses.normalise(clips) @ losses.normalise(captions).T
        same = jnp.all(batch.text_ids[:, None] == batch.text_ids[None], axis=-1)
        left_out = same & ~jnp.eye(logits.shape[0], dtype=bool) & self.ignore_same_caption
        loss = metrics.Mean.of(symmetric_cross_entropy(logits, batch.weight, left_out), batch.weight)
        # A caption equal to the right one counts as right.
        present = jnp.where(batch.weight > 0, 0.0, -jnp.inf)
        rows = jnp.arange(logits.shape[0])
        to_text = same[rows, jnp.argmax(logits + present[None, :], axis=1)].astype(jnp.float32)
        to_video = same[rows, jnp.argmax(logits + present[:, None], axis=0)].astype(jnp.float32)
        return loss, {
            "video_to_text": metrics.Mean.of(to_text, batch.weight),
            "text_to_video": metrics.Mean.of(to_video, batch.weight),
            "temperature": metrics.Mean(1.0 / scale, jnp.float32(1.0)),
        }
