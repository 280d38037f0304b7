"""Stage 2, global distillation: predict the teacher's clip embedding from the visible tokens.

    loss = 1 - cos(pooler(decoder(visible)), teacher's pooled embedding of the unmasked clip)

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
    """Global distillation loss: cosine distance between pooled student and teacher embedding.

    Args:
        weight: weight of this loss in the sum.
        mask: mask of the student's view; use the local objective's mask, so that both share one forward pass.
        dim, depth, heads, mlp_dim: size of the decoder (the paper's giant: 512, 4, unknown, 2048).
        remat: rematerialization policy of the decoder, see prismlab.core.nn.transformer_stack.
        pooler_heads: number of heads of the pooler, at the teacher's width.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the decoder and the pooler.
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
        """Return the views of the masked clip (student) and the unmasked clip (teacher)."""
        return frozenset({objective.View("video", mask=self.mask), objective.View("video", teacher=True)})

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss, averaged over examples."""
        del key
        student = seen[objective.View("video", mask=self.mask)].tokens
        target = objective.pooled(seen, objective.View("video", teacher=True))
        assert student is not None
        decoded = self.leave(self.norm(self.transformer(self.enter(student.x))))
        error = losses.cosine_distance(self.pooler(decoded), jax.lax.stop_gradient(target))
        return metrics.Mean.of(error, batch.weight), {}
