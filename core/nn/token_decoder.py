"""Transformer decoder over all tokens of a clip, shared by masked modeling and token shuffling."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import keys, types, weight_decay
from prismlab.core.nn import layers, transformer_stack

# The Transformer of the paper's decoders (C.2, Table 11: 4 layers, width 512, MLP 2048; heads are not given).
TRANSFORMER = functools.partial(transformer_stack.Stack, count=4, dim=512, heads=8, mlp_dim=2048)


class TokenDecoder(eqx.Module):
    """Masked token decoder (MAE-style): predict all tokens of a clip from the visible ones.

    Steps: project to the decoder width, fill masked positions with a learnable mask token, optionally
    permute the sequence, add the learnable position embedding in natural order, apply the Transformer,
    predict with a linear head.

    Args (constructor):
        video_dim: width of the student's tokens.
        out_dim: width of the prediction for each token.
        tokens: s, number of tokens in a full clip.
        transformer: constructor of the Transformer, called with `key`; its width is the decoder's.
        key: JAX key for the initial weights.

    Source: VideoPrism 2.3.2, C.2, Table 11 (D -> 512, 4 layers, MLP 2048, -> teacher width), Algorithm 1.
    Chosen here where the paper is silent: mask token and positions at decoder width (as in MAE), heads, a
    layer norm before the head, and the encoder's logit cap of 50. The head is linear, as the text says; Table
    11 lists an MLP.
    """

    project: layers.Linear
    mask_token: Float[Array, " w"] = eqx.field(metadata=weight_decay.UNDECAYED)
    position: Float[Array, "s w"] = eqx.field(metadata=weight_decay.UNDECAYED)
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    head: layers.Linear

    def __init__(
        self,
        video_dim: int,
        out_dim: int,
        tokens: int,
        transformer: Callable[..., transformer_stack.Stack],
        *,
        key: PRNGKeyArray,
    ):
        self.transformer = transformer(key=keys.fold(key, "transformer"))
        dim = self.transformer.dim
        self.project = layers.Linear(video_dim, dim, key=keys.fold(key, "project"))
        self.mask_token = 0.02 * jax.random.normal(keys.fold(key, "mask_token"), (dim,))
        # Similar magnitude to sinusoids; with much smaller values the decoder learns positions late.
        self.position = 0.5 * jax.random.normal(keys.fold(key, "position"), (tokens, dim))
        self.norm = layers.LayerNorm(dim)
        self.head = layers.Linear(dim, out_dim, key=keys.fold(key, "head"))

    def __call__(
        self, seen: types.Tokens, permutation: Int[Array, "b s"] | None = None
    ) -> Float[Array, "b s o"]:
        """Predict every token of the clip from the visible ones.

        Args:
            seen: the student's visible tokens and their token indices.
            permutation: int32 [b, s], position i receives token permutation[i]; None keeps natural order.

        Returns:
            [b, s, out_dim], position i predicts token i of the unmasked clip.
        """
        visible = self.project(seen.x)
        batch, tokens, dim = visible.shape[0], *self.position.shape
        rows = jnp.arange(batch)[:, None]
        filled = jnp.broadcast_to(self.mask_token.astype(visible.dtype), (batch, tokens, dim))
        filled = filled.at[rows, seen.place].set(visible)
        if permutation is not None:
            filled = jnp.take_along_axis(filled, permutation[:, :, None], axis=1)
        decoded = self.transformer(filled + self.position.astype(visible.dtype))
        return self.head(self.norm(decoded))
