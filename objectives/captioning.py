"""Captioning loss: predict each word of the caption from the words before it and the clip (CoCa).

    loss = mean over words of  -log p(word_k | words before k, clip)

Source: Yu et al. 2022, "CoCa: Contrastive Captioners are Image-Text Foundation Models", equation 3 (loss;
weight 2 beside a contrastive weight of 1) and section 3.2 (the text tower is the unimodal part of the
decoder). There, 256 pooled queries of the image are attended to; here, all tokens of the view. Captions have
no end token.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.nn import caption_decoder, transformer_stack
from prismlab.core.train import masking, metrics, objective, schedules

TEXT = objective.View("text")
TRANSFORMER = functools.partial(transformer_stack.Stack, count=4, dim=512, heads=8, mlp_dim=2048)


class Captioning(objective.AbstractObjective):
    """Captioning loss: cross-entropy of the words of each caption, given the clip.

    Needs a causal text tower, whose encoded words the decoder continues from.

    Args:
        weight: weight of this loss in the sum (CoCa: 2); a number or a `schedules.Ramp`.
        drop: mask applied to the clip's tokens during training; use that of the contrastive loss, so that
            both share one forward pass. None keeps all.
        decoder: constructor of the decoder's Transformer (`@transformer_stack.Stack`), called with `key`.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the decoder.
    """

    weight: schedules.Number
    drop: masking.Mask | None
    decoder: caption_decoder.CaptionDecoder

    def __init__(
        self,
        weight: schedules.Number = 2.0,
        drop: masking.Mask | None = None,
        decoder: Callable[..., transformer_stack.Stack] = TRANSFORMER,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        if dims.text_dim is None or dims.vocabulary is None:
            raise errors.UserError(
                "captioning needs the tower 'text', whose encoded words it continues; add it to "
                "recipe.Stage.towers"
            )
        self.weight, self.drop = weight, drop
        self.decoder = caption_decoder.CaptionDecoder(
            dims.text_dim, dims.video_dim, dims.vocabulary, decoder, key=key
        )

    def started(self, towers: Mapping[str, types.Tower]) -> "Captioning":
        """Return the objective itself, after a check of the text tower.

        Raises:
            UserError: the text tower is not causal, so that each word knows those after it.
        """
        if not getattr(towers["text"], "causal", True):
            raise errors.UserError(
                "captioning needs a causal text tower, expected text.TextTower.causal=True, found False; "
                "otherwise each word knows the words that it is to predict"
            )
        return self

    @property
    def _clip(self) -> objective.View:
        return objective.View("video", mask=self.drop)

    def views(self) -> frozenset[objective.View]:
        """Return the views of the clip (with token dropping, if set) and its caption."""
        return frozenset({self._clip, TEXT})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss in nats per word, and the share of words predicted correctly as a metric."""
        del key
        words, clip = objective.tokens(seen, TEXT), objective.tokens(seen, self._clip)
        logits = self.decoder(words.x, clip.x).astype(jnp.float32)
        chances = jax.nn.log_softmax(logits, axis=-1)
        error = -jnp.take_along_axis(chances, batch.text_ids[:, :, None], axis=-1)[:, :, 0]
        counted = (1.0 - batch.text_paddings) * batch.weight[:, None]
        right = (jnp.argmax(logits, axis=-1) == batch.text_ids).astype(jnp.float32)
        return metrics.Mean.of(error, counted), {"accuracy": metrics.Mean.of(right, counted)}
