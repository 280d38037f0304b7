"""Adapters: a frozen encoder with a trainable bottleneck after each MLP.

Source: VideoGLUE figure 5 and appendix D: bottleneck 64, ReLU, a learned scale, after the MLP of each block.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers


class AdaptedFeed(eqx.Module):
    """Feed-forward layer followed by a residual adapter: y + scale * up(relu(down(y))).

    `up` is initialised to zero, so the initial output is that of the feed-forward layer. In a stack, every
    array has the layer on axis 0, like the arrays of the feed-forward layer.
    """

    feed: layers.FeedForward
    down: layers.Linear
    up: layers.Linear
    scale: Float[Array, "*layers"]

    def __init__(self, feed: layers.FeedForward, dim: int, bottleneck: int, *, key: PRNGKeyArray):
        self.feed = feed
        self.down = layers.Linear(dim, bottleneck, key=keys.fold(key, "down"))
        self.up = layers.Linear(bottleneck, dim, scale=0.0, key=keys.fold(key, "up"))
        self.scale = jnp.ones(())

    def __call__(
        self, x: Float[Array, "b n d"], paddings: Float[Array, "b n"] | None = None
    ) -> Float[Array, "b n d"]:
        """Return the adapted output; 0 where paddings is 1."""
        y = self.feed(x, paddings)
        change = self.scale.astype(y.dtype) * self.up(jax.nn.relu(self.down(y)))
        return y + change if paddings is None else y + change * (1.0 - paddings)[..., None].astype(y.dtype)


def adapted(encoder: Any, bottleneck: int, *, key: PRNGKeyArray) -> tuple[Any, Any]:
    """Add an adapter to every block; return the encoder and a tree of booleans, True for adapter weights.

    Args:
        encoder: the factorised encoder; its output is unchanged until the adapters are trained.
        bottleneck: width of the adapters.
        key: a typed JAX key.
    """
    moving = jax.tree.map(lambda leaf: False, encoder)
    for name in ("spatial", "temporal"):
        stack = getattr(encoder, name)
        dim = stack.blocks.feed.outer.bias.shape[-1]
        folded = keys.fold(key, name)
        feed = eqx.filter_vmap(
            lambda feed, index, dim=dim, folded=folded: AdaptedFeed(
                feed, dim, bottleneck, key=keys.fold(folded, index)
            )
        )(stack.blocks.feed, jnp.arange(stack.count))
        at = lambda tree, name=name: getattr(tree, name).blocks.feed
        own = jax.tree.map(eqx.is_inexact_array, feed)
        own = eqx.tree_at(lambda f: f.feed, own, jax.tree.map(lambda leaf: False, feed.feed))
        encoder, moving = eqx.tree_at(at, encoder, feed), eqx.tree_at(at, moving, own)
    return encoder, moving


@dataclasses.dataclass(frozen=True)
class Adapters:
    """Adapters in a frozen encoder, for `tuning.Tuning.change`.

    Args:
        bottleneck: width of the adapters, 64 in VideoGLUE.
    """

    bottleneck: int = 64

    def __post_init__(self) -> None:
        if self.bottleneck < 1:
            raise errors.UserError(f"bottleneck must be at least 1, got {self.bottleneck}")

    @property
    def words(self) -> str:
        """What is trained, for tables."""
        return f"adapters of width {self.bottleneck}, encoder frozen"

    def __call__(self, encoder: Any, *, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Return the encoder with adapters and which of its arrays are trained; see `adapted`."""
        return adapted(encoder, self.bottleneck, key=key)
