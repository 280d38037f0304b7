"""Stage 2, global: predict the teacher's embedding of the whole clip from the visible tokens.

    loss = 1 - cos(pooler(decoder(visible)), teacher's pooled embedding of the intact clip)

Source: VideoPrism 2.3.2, C.2, Table 11 (projector -> 4 layers -> projector -> attention pooler; no
positions, no mask tokens, no shuffling).
"""

from collections.abc import Mapping

import jax
from jaxtyping import PRNGKeyArray

from prismlab.core import keys, types
from prismlab.core.nn import layers, losses, pooling, transformer_stack
from prismlab.core.train import masking, metrics, objective


class GlobalDistillation(objective.AbstractObjective):
    """Cosine distance between a pooled decoding of the visible tokens and the teacher's embedding.

    Args:
        weight: factor of this loss in the sum.
        mask: what the student sees; equal to the local objective's, so that both share one pass.
        dim, depth, heads, mlp_dim: size of the decoder (the paper's giant: 512, 4, unknown, 2048).
        remat: what the backward pass of the decoder recomputes, see prismlab.core.nn.transformer_stack.
        pooler_heads: heads of the pooler, at the teacher's width.
        dims: sizes of the towers.
        key: initial weights of the decoder and the pooler.
    """

    weight: float
    mask: masking.Mask
    enter: layers.Linear
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    leave: layers.Linear
    pooler: pooling.AttentionPooler

    def __init__(
        self,
        weight: float = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        dim: int = 512,
        depth: int = 4,
        heads: int = 8,
        mlp_dim: int = 2048,
        remat: str = "nothing_saveable",
        pooler_heads: int = 8,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        self.weight, self.mask = weight, mask
        self.enter = layers.Linear(dims.video_dim, dim, key=keys.fold(key, "enter"))
        self.transformer = transformer_stack.Stack(
            depth, dim, heads, mlp_dim, remat=remat, key=keys.fold(key, "transformer")
        )
        self.norm = layers.LayerNorm(dim)
        self.leave = layers.Linear(dim, dims.teacher_dim, key=keys.fold(key, "leave"))
        self.pooler = pooling.AttentionPooler(
            dims.teacher_dim, heads=pooler_heads, hidden_dim=dims.teacher_dim, key=keys.fold(key, "pooler")
        )

    def views(self) -> frozenset[objective.View]:
        """Return the masked clip and the intact clip seen by the teacher."""
        return frozenset({objective.View("video", mask=self.mask), objective.View("video", teacher=True)})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, one value an example."""
        del key
        student = seen[objective.View("video", mask=self.mask)].tokens
        target = objective.pooled(seen, objective.View("video", teacher=True))
        assert student is not None
        decoded = self.leave(self.norm(self.transformer(self.enter(student.x))))
        error = losses.cosine_distance(self.pooler(decoded), jax.lax.stop_gradient(target))
        return metrics.Mean.of(error, batch.weight), {}
