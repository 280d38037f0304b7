"""Attention pooling: reduce tokens to one vector with a learned query."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import keys, weight_decay
from prismlab.core.nn import layers, transformer_stack


class AttentionPooler(eqx.Module):
    """Attention pooling with one learned query, followed by a layer norm.

    Without feed-forward layer, residual connection and logit cap.

    Source: VideoPrism section 2.3.1 and appendix C.1 (MAP head); public release, layers.py.
    """

    query: Float[Array, "1 d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    attention: layers.Attention
    norm: layers.LayerNorm

    def __init__(self, dim: int, heads: int, hidden_dim: int | None = None, *, key: PRNGKeyArray):
        """Initialize the pooler.

        Args:
            dim: width of the tokens and of the output.
            heads: number of attention heads; must divide hidden_dim.
            hidden_dim: total width of all heads; 4 * dim if None (contrastive); classifiers use dim.
            key: a typed JAX key.
        """
        self.query = layers.lecun_normal(keys.fold(key, "query"), (1, dim), 1)
        self.attention = layers.Attention(
            dim,
            heads,
            hidden_dim=4 * dim if hidden_dim is None else hidden_dim,
            logit_cap=0.0,
            per_dimension_scale=True,
            key=keys.fold(key, "attention"),
        )
        self.norm = layers.LayerNorm(dim)

    def __call__(
        self, x: Float[Array, "b m d"], paddings: Float[Array, "b m"] | None = None
    ) -> Float[Array, "b d"]:
        """Pool tokens into one vector.

        Args:
            x: float [b, m, d].
            paddings: float [b, m], 1.0 where a token is padding; None means no padding.

        Returns:
            float [b, d], not normalized to unit length.
        """
        # With one query, q·(W x) = (W' q)·x and sum_s p_s (W x_s) = W (sum_s p_s x_s), so the keys and
        # values (4 * d wide per token) are never computed. The key bias adds the same constant to every
        # logit, which does not change the softmax.
        attention = self.attention
        query = attention.scaled(attention.query(self.query.astype(x.dtype)))[0]
        probe = jnp.einsum("dhk,hk->dh", attention.key.w.astype(x.dtype), query)
        logits = jnp.swapaxes(layers.rows_times(x, probe), 1, 2).astype(jnp.float32)
        if paddings is not None:
            logits = jnp.where(transformer_stack.key_padding(paddings)[:, :, 0], logits, layers.MASKED_LOGIT)
        mixed = jax.nn.softmax(logits, axis=-1).astype(x.dtype) @ x
        value = jnp.einsum("bhd,dhk->bhk", mixed, attention.value.w.astype(x.dtype))
        return self.norm(attention.post(value + attention.value.b.astype(x.dtype)))
