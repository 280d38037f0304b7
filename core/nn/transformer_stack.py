"""Transformer block, and a stack of identical blocks with parameters stacked on axis 0 (scan over layers)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers, packing
from prismlab.core.parallel import mesh

# Rematerialization policies: what the forward pass saves for the backward pass; "none" disables remat.
REMAT_POLICIES: dict[str, Any] = {
    "none": None,
    "nothing_saveable": jax.checkpoint_policies.nothing_saveable,
    "everything_saveable": jax.checkpoint_policies.everything_saveable,
    "dots_saveable": jax.checkpoint_policies.dots_saveable,
    "dots_with_no_batch_dims_saveable": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def key_padding(paddings: Float[Array, "b n"]) -> Bool[Array, "b 1 1 n"]:
    """Return the attention mask of keys from paddings (1.0 where padded)."""
    return (paddings < 0.5)[:, None, None, :]


class Block(eqx.Module):
    """Transformer layer: self-attention and feed-forward, each with a residual connection.

    Norm policies: "pre" (video, and text up to large), "primer_hybrid" (text tower of giant: a norm before
    and after each branch), "post" (after the branch), "post_skip" (after the residual connection).

    Source: public release, layers.py.
    """

    attention_norm: layers.LayerNorm
    attention: layers.Attention
    attention_post_norm: layers.LayerNorm | None
    feed_norm: layers.LayerNorm
    feed: layers.FeedForward
    feed_post_norm: layers.LayerNorm | None
    norm_policy: str = eqx.field(static=True)

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_dim: int,
        *,
        activation: str = "gelu",
        norm_policy: str = "pre",
        norm_epsilon: float = layers.EPSILON,
        atten_logit_cap: float = 50.0,
        residual_scale: float = 1.0,
        key: PRNGKeyArray,
    ):
        """Initialize the layer; residual_scale multiplies the initial output matrix of both branches.

        Raises:
            UserError: for an unknown norm policy.
        """
        if norm_policy not in layers.NORM_POLICIES:
            raise errors.UserError(f"norm_policy must be one of {layers.NORM_POLICIES}; got {norm_policy!r}.")
        hybrid = norm_policy == "primer_hybrid"
        self.attention_norm = layers.LayerNorm(dim, norm_epsilon)
        self.attention = layers.Attention(
            dim,
            heads,
            logit_cap=atten_logit_cap,
            residual_scale=residual_scale,
            key=keys.fold(key, "attention"),
        )
        self.attention_post_norm = layers.LayerNorm(dim, norm_epsilon) if hybrid else None
        self.feed_norm = layers.LayerNorm(dim, norm_epsilon)
        self.feed = layers.FeedForward(
            dim, mlp_dim, activation=activation, residual_scale=residual_scale, key=keys.fold(key, "feed")
        )
        self.feed_post_norm = layers.LayerNorm(dim, norm_epsilon) if hybrid else None
        self.norm_policy = norm_policy

    def _skip(
        self,
        x: Array,
        norm: layers.LayerNorm,
        post: layers.LayerNorm | None,
        branch: Callable[[Array], Array],
    ) -> Array:
        if self.norm_policy == "primer_hybrid":
            assert post is not None
            return x + post(branch(norm(x)))
        if self.norm_policy == "pre":
            return x + branch(norm(x))
        if self.norm_policy == "post":
            return x + norm(branch(x))
        return norm(x + branch(x))

    def __call__(
        self,
        x: Float[Array, "b n d"],
        paddings: Float[Array, "b n"] | None = None,
        *,
        allowed: Bool[Array, "#b 1 #n n"] | None = None,
        layout: packing.Grid | None = None,
    ) -> Float[Array, "b n d"]:
        """Apply the layer; arguments as in `Stack`, except that paddings only affect the feed-forward."""
        x = self._skip(
            x,
            self.attention_norm,
            self.attention_post_norm,
            lambda y: self.attention(y, allowed=allowed, layout=layout),
        )
        return self._skip(x, self.feed_norm, self.feed_post_norm, lambda y: self.feed(y, paddings))


class Stack(eqx.Module):
    """Stack of identical transformer blocks, with every parameter stacked on axis 0.

    `scan=True` compiles one layer and loops over it; `scan=False` unrolls. Same parameters, same outputs.
    """

    blocks: Block
    count: int = eqx.field(static=True)
    scan: bool = eqx.field(static=True)
    remat: str = eqx.field(static=True)

    def __init__(
        self,
        count: int,
        dim: int,
        heads: int,
        mlp_dim: int,
        *,
        activation: str = "gelu",
        norm_policy: str = "pre",
        norm_epsilon: float = layers.EPSILON,
        atten_logit_cap: float = 50.0,
        residual_scale: float = 1.0,
        scan: bool = True,
        remat: str = "nothing_saveable",
        key: PRNGKeyArray,
    ):
        """Initialize all layers.

        Args:
            count: number of layers, at least 1.
            dim: width of the tokens.
            heads: number of attention heads; must divide dim.
            mlp_dim: hidden width of the feed-forward layers.
            activation: "gelu" (video), "relu" (text) or "quick_gelu" (CLIP).
            norm_policy: see `Block`.
            norm_epsilon: see `layers.LayerNorm`.
            atten_logit_cap: see `layers.attend`.
            residual_scale: initial factor on each residual branch; 0.05 starts near the identity.
            scan: loop over layers instead of unrolling them.
            remat: name of a policy in REMAT_POLICIES.
            key: a typed JAX key.

        Raises:
            UserError: for fewer than one layer or an unknown policy.
        """
        if count < 1:
            raise errors.UserError(f"a stack needs at least one layer; got {count}.")
        if remat not in REMAT_POLICIES:
            raise errors.UserError(f"remat must be one of {sorted(REMAT_POLICIES)}; got {remat!r}.")

        def one(index: Array) -> Block:
            return Block(
                dim,
                heads,
                mlp_dim,
                activation=activation,
                norm_policy=norm_policy,
                norm_epsilon=norm_epsilon,
                atten_logit_cap=atten_logit_cap,
                residual_scale=residual_scale,
                key=keys.fold(key, index),
            )

        self.blocks = eqx.filter_vmap(one)(jnp.arange(count))
        self.count = count
        self.scan = scan
        self.remat = remat

    @property
    def dim(self) -> int:
        """Width of the tokens."""
        return self.blocks.feed_norm.scale.shape[-1]

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.blocks.attention.query.w.shape[-2]

    def __call__(
        self,
        x: Float[Array, "b n d"],
        paddings: Float[Array, "b n"] | None = None,
        *,
        allowed: Bool[Array, "#b 1 #n n"] | None = None,
        layout: packing.Grid | None = None,
    ) -> Float[Array, "b n d"]:
        """Apply all layers in sequence.

        Args:
            x: float [b, n, d].
            paddings: 1.0 where a token is padding: masked as a key, with zero feed-forward output.
            allowed: attention mask, True where token i may attend to token j; overrides paddings.
            layout: token grid for packed tokens; its own `allowed` mask is used.

        Returns:
            float [b, n, d] in x's dtype.
        """
        if allowed is None and layout is None and paddings is not None:
            allowed = key_padding(paddings)
        arrays, static = eqx.partition(self.blocks, eqx.is_array)

        def one_layer(x: Array, arrays: Block) -> Array:
            block: Block = eqx.combine(arrays, static)
            return block(mesh.held(x), paddings, allowed=allowed, layout=layout)

        policy = REMAT_POLICIES[self.remat]
        if policy is not None:
            # prevent_cse is not needed inside a scan, where the compiler cannot merge the two forward passes.
            one_layer = jax.checkpoint(one_layer, policy=policy, prevent_cse=not self.scan)
        if self.scan:
            return jax.lax.scan(lambda x, layer: (one_layer(x, layer), None), x, arrays)[0]
        for index in range(self.count):
            x = one_layer(x, jax.tree.map(lambda leaf, index=index: leaf[index], arrays))
        return x
