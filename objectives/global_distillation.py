"""Stage 2, global distillation: predict the teacher's clip embedding from the visible tokens.

    loss = 1 - cos(pooler(decoder(visible)), teacher's pooled embedding of the unmasked clip)

Source: VideoPrism 2.3.2, C.2, Table 11 (projector -> 4 layers -> projector -> attention pooler; no
positions, no mask tokens, no shuffling).
"""

from collections.abc import Callable, Mapping

import jax
from jaxtyping import PRNGKeyArray

from prismlab.core import keys, types
from prismlab.core.nn import layers, losses, pooling, token_decoder, transformer_stack
from prismlab.core.train import masking, metrics, objective, schedules


class GlobalDistillation(objective.AbstractObjective):
    """Global distillation loss: cosine distance between pooled student and teacher embedding.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view; use the local objective's mask, so that both share one forward pass.
        decoder: constructor of the decoder's Transformer (`@transformer_stack.Stack`), called with `key`.
        pooler_heads: number of heads of the pooler; its width is the teacher's, its initial weights are
            random. The paper states neither heads nor width nor whether it starts from stage 1's pooler.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the decoder and the pooler.
    """

    weight: schedules.Number
    mask: masking.Mask
    enter: layers.Linear
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    leave: layers.Linear
    pooler: pooling.AttentionPooler

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        decoder: Callable[..., transformer_stack.Stack] = token_decoder.TRANSFORMER,
        pooler_heads: int = 8,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        self.weight, self.mask = weight, mask
        self.transformer = decoder(key=keys.fold(key, "transformer"))
        dim = self.transformer.dim
        self.enter = layers.Linear(dims.video_dim, dim, key=keys.fold(key, "enter"))
        self.norm = layers.LayerNorm(dim)
        self.leave = layers.Linear(dim, dims.teacher_dim, key=keys.fold(key, "leave"))
        self.pooler = pooling.AttentionPooler(
            dims.teacher_dim, heads=pooler_heads, hidden_dim=dims.teacher_dim, key=keys.fold(key, "pooler")
        )

    def views(self) -> frozenset[objective.View]:
        """Return the views of the masked clip (student) and the unmasked clip (teacher)."""
        return frozenset({objective.View("video", mask=self.mask), objective.View("video", teacher=True)})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, averaged over examples."""
        del key
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        target = objective.pooled(seen, objective.View("video", teacher=True))
        decoded = self.leave(self.norm(self.transformer(self.enter(student.x))))
        error = losses.cosine_distance(self.pooler(decoded), jax.lax.stop_gradient(target))
        return metrics.Mean.of(error, batch.weight), {}
