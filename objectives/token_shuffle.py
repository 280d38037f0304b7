"""Stage 2, local distillation with token shuffling: predict the teacher's tokens from a shuffled sequence.

    sequence = [visible tokens, mask tokens]; permute the sequence; add position embedding i at position i;
    loss = mean over i of 1 - cos(decoder(...)[i], teacher[i])      (targets in natural order)

Source: VideoPrism 2.3.2, Algorithm 1, Figure 3. One permutation per example is our interpretation.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from prismlab.core import types
from prismlab.core.nn import losses, token_decoder, transformer_stack
from prismlab.core.train import masking, metrics, objective, schedules


def permutations(
    batch: int, tokens: int, *, key: PRNGKeyArray, index: Int[Array, " b"] | None = None
) -> Int[Array, "b s"]:
    """Sample one uniform permutation per example; example i depends only on the key and i.

    Args:
        batch: number of examples.
        tokens: s, sequence length.
        key: JAX key of this step.
        index: int32 [b], indices of the examples in the global batch; None means 0 .. b - 1.

    Returns:
        int32 [b, s], each row a permutation of 0 .. s - 1.
    """

    def one(i: Int[Array, ""]) -> Int[Array, " s"]:
        return jax.random.permutation(jax.random.fold_in(key, i), tokens)

    return jax.vmap(one)(jnp.arange(batch) if index is None else index)


class TokenShuffle(objective.AbstractObjective):
    """Token shuffling loss: cosine distance to the teacher's tokens, predicted from a permuted sequence.

    Args:
        weight: weight of this loss in the sum; a number or a `schedules.Ramp`.
        mask: mask of the student's view (the paper: BlockTube, 35% visible).
        whiten_targets: whiten the teacher's tokens over the batch (`losses.whiten`); off in the paper.
        decoder: constructor of the decoder's Transformer (`@transformer_stack.Stack`), called with `key`.
        dims: sizes of the towers.
        key: JAX key for the initial weights of the decoder.
    """

    weight: schedules.Number
    mask: masking.Mask
    whiten_targets: bool
    decoder: token_decoder.TokenDecoder

    def __init__(
        self,
        weight: schedules.Number = 1.0,
        mask: masking.Mask = masking.BlockTube(0.35),
        whiten_targets: bool = False,
        decoder: Callable[..., transformer_stack.Stack] = token_decoder.TRANSFORMER,
        *,
        dims: types.Dims,
        key: PRNGKeyArray,
    ):
        self.weight, self.mask, self.whiten_targets = weight, mask, whiten_targets
        self.decoder = token_decoder.TokenDecoder(
            dims.video_dim, dims.teacher_dim, dims.tokens, decoder, key=key
        )

    def views(self) -> frozenset[objective.View]:
        """Return the views of the masked clip (student) and the unmasked clip (teacher)."""
        return frozenset({objective.View("video", mask=self.mask), objective.View("video", teacher=True)})

    def coupling(self) -> objective.Coupling:
        """Return "tokens" if targets are whitened over the batch, else "none"."""
        return "tokens" if self.whiten_targets else "none"

    def __call__(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss over all positions."""
        student = objective.tokens(seen, objective.View("video", mask=self.mask))
        teacher = objective.tokens(seen, objective.View("video", teacher=True))
        order = permutations(*teacher.x.shape[:2], key=key, index=batch.index)
        prediction = self.decoder(student, order)
        target = losses.whiten(teacher.x, batch.weight) if self.whiten_targets else teacher.x
        error = losses.cosine_distance(prediction, jax.lax.stop_gradient(target))
        return metrics.Mean.of(error, jnp.broadcast_to(batch.weight[:, None], error.shape)), {}
