"""Head of actions in boxes: the features of a box ask all tokens of the clip, then a linear layer.

The features of a box are RoIAlign on the map of tokens averaged over time, or on the map of each frame, and
their largest values over the bins. They are the query of one cross-attention layer over all tokens;
their places are added to both. RoIAlign and the query are those of the paper; places are VideoGLUE's idea,
which learns them with two layers.

Source: VideoPrism E.1 (12 heads, width 768, one layer); VideoGLUE (positions, RoIAlign of 7 x 7, maximum).
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers
from prismlab.experiments.tasks.heads import classifier
from prismlab.experiments.tasks.heads.localisation import roi_align

MAPS = ("mean", "frames")


class BoxHead(eqx.Module):
    """The head: tokens and boxes of clips to logits of each box."""

    place_box: layers.Linear
    place_token: layers.Linear
    norm_tokens: layers.LayerNorm
    norm_query: layers.LayerNorm
    attention: layers.Attention
    norm: layers.LayerNorm
    classes: layers.Linear
    frames: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    per_frame: bool = eqx.field(static=True)
    dropout: float = eqx.field(static=True)

    def __init__(self, dim: int, classes: int, frames: int, settings: "BoxQuery", *, key: PRNGKeyArray):
        fold = lambda name: keys.fold(key, name)
        # `waves` makes 7 numbers of each of x, y, width, height, and of x, y, time.
        self.place_box = layers.Linear(4 * 7, dim, key=fold("place of a box"))
        self.place_token = layers.Linear(3 * 7, dim, key=fold("place of a token"))
        self.norm_tokens, self.norm_query = layers.LayerNorm(dim), layers.LayerNorm(dim)
        self.attention = layers.Attention(
            dim, settings.heads, hidden_dim=settings.hidden_dim or dim, logit_cap=0.0, key=fold("attention")
        )
        self.norm = layers.LayerNorm(dim)
        self.classes = layers.Linear(dim, classes, scale=0.1, key=fold("classes"))
        self.frames, self.size = frames, settings.size
        self.per_frame, self.dropout = settings.maps == "frames", settings.dropout

    def __call__(
        self, tokens: Float[Array, "b s d"], shares: Float[Array, "b q 4"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b q c"]:
        """Return the logits of each box; s is frames x side x side.

        Args:
            tokens: of the clips, frame by frame and row by row.
            shares: boxes at the keyframe.
            key: applies dropout; None for none.
        """
        b, s, d = tokens.shape
        side = math.isqrt(s // self.frames)
        x = self.norm_tokens(tokens)
        maps = x.reshape(b, self.frames, side, side, d)
        maps = maps if self.per_frame else maps.mean(axis=1, keepdims=True)
        align = lambda one, box: roi_align.roi_align(one, box, self.size).max(axis=(0, 1))
        each_map = jax.vmap(align, in_axes=(0, None))
        boxed = jax.vmap(jax.vmap(each_map, in_axes=(None, 0)))(maps, shares).mean(axis=2)
        query = self.norm_query(boxed + self.place_box(waves(_box_places(shares))))
        context = x + self.place_token(waves(_token_places(self.frames, side)))
        asked = self.attention(query, context)
        return self.classes(classifier.dropped(self.norm(boxed + asked), self.dropout, key))


def waves(places: Float[Array, "*n p"]) -> Float[Array, "*n w"]:
    """Return places with the sine and cosine of 1, 2 and 4 half turns of each.

    Args:
        places: numbers in [0, 1].
    """
    turns = places[..., None] * (jnp.pi * jnp.asarray([1.0, 2.0, 4.0]))
    found = jnp.concatenate([jnp.sin(turns), jnp.cos(turns)], axis=-1)
    return jnp.concatenate([places, found.reshape(*places.shape[:-1], -1)], axis=-1)


def _box_places(shares: Float[Array, "b q 4"]) -> Float[Array, "b q 4"]:
    """Return centre, width and height of boxes."""
    size = shares[..., 2:] - shares[..., :2]
    return jnp.concatenate([shares[..., :2] + size / 2, size], axis=-1)


def _token_places(frames: int, side: int) -> Float[Array, "s 3"]:
    """Return x, y and time of the tokens."""
    centre, time = (jnp.arange(side) + 0.5) / side, (jnp.arange(frames) + 0.5) / frames
    t, y, x = jnp.meshgrid(time, centre, centre, indexing="ij")
    return jnp.stack([x.reshape(-1), y.reshape(-1), t.reshape(-1)], axis=-1)


@dataclasses.dataclass(frozen=True)
class BoxQuery:
    """Settings of the head.

    Args:
        heads: attention heads.
        hidden_dim: total width of the heads; None for the width of the tokens.
        size: bins of RoIAlign along a side.
        maps: "mean" (RoIAlign on the map averaged over time) or "frames" (on each frame's, then averaged).
        dropout: fraction of a box's vector dropped in training, in [0, 1).
    """

    heads: int = 12
    hidden_dim: int | None = None
    size: int = 7
    maps: str = "mean"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.maps not in MAPS or self.size < 1 or self.heads < 1 or not 0 <= self.dropout < 1:
            raise errors.UserError(
                f"box query: expected maps of {MAPS}, size and heads of 1 or more and dropout in [0, 1), got "
                f"{self.maps!r}, {self.size}, {self.heads} and {self.dropout}"
            )

    def build(self, shape: tuple[int, ...], frames: int, classes: int, *, key: PRNGKeyArray) -> BoxHead:
        """Return a head for features of a view.

        Args:
            shape: tokens x width.
            frames: frames of a view.
            classes: number of classes.
            key: a typed JAX key.

        Raises:
            UserError: features are no tokens of square maps, one a frame.
        """
        count = shape[0] if len(shape) == 2 else 0
        if not count or count % frames or math.isqrt(count // frames) ** 2 != count // frames:
            raise errors.UserError(
                f"box query: expected tokens of {frames} square maps, found features of shape {list(shape)}; "
                "set the protocol to pooling='attention' and layers=1, and use a tower with a token grid for "
                "each frame"
            )
        return BoxHead(shape[1], classes, frames, self, key=key)

    def loss(self, head: Any, tokens: Array, shares: Array, hot: Array, real: Array, key: Any) -> Array:
        """Return the binary cross-entropy, averaged over classes and boxes.

        Args:
            head: the head.
            tokens: [b, s, d].
            shares: [b, q, 4] boxes.
            hot: [b, q, c] their classes.
            real: [b, q], 1 for boxes that exist.
            key: of dropout.
        """
        logits = head(tokens, shares, key if self.dropout else None)
        each = jnp.maximum(logits, 0) - logits * hot + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        return (each.mean(-1) * real).sum() / jnp.maximum(real.sum(), 1.0)
