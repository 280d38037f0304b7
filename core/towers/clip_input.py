"""A class token in each frame, and the norm before the first layer: the input of CLIP's image encoder.

Source: Radford et al. 2021 (CLIP); openai/CLIP, model.py, VisionTransformer.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import weight_decay
from prismlab.core.nn import layers, packing
from prismlab.core.parallel import mesh

EPSILON = 1e-5  # of layer norms in CLIP


class ClassToken(eqx.Module):
    """One learned token that joins the patches of each frame, and the norm that follows.

    Patches and class token attend to each other in the spatial layers; after them the class token is dropped.
    """

    token: Float[Array, " d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    norm: layers.LayerNorm

    def __init__(self, dim: int, *, key: PRNGKeyArray):
        """Initialize the token with a normal distribution of standard deviation 1 / sqrt(dim), as in CLIP."""
        self.token = jax.random.normal(key, (dim,)) * dim**-0.5
        self.norm = layers.LayerNorm(dim, EPSILON)

    def before_frames(
        self, x: Float[Array, "r n d"], paddings: Float[Array, "r n"] | None
    ) -> tuple[Float[Array, "r n+1 d"], Float[Array, "r n+1"] | None]:
        """Return the tokens of each frame with the class token before them, normalized, and their paddings.

        Args:
            x: tokens of frames, a frame a row.
            paddings: 1.0 in the rows of frames that are padding, or None.
        """
        x = self.norm(jnp.concatenate([self._copies(x, 1), x], axis=1))
        return x, None if paddings is None else jnp.concatenate([paddings[:, :1], paddings], axis=1)

    def before_packed(
        self,
        x: Float[Array, "b m d"],
        place: Int[Array, "b m"],
        frames: int,
        patches: int,
        frame_paddings: Float[Array, "b t"] | None,
    ) -> tuple[Float[Array, "b {frames}+m d"], Float[Array, "b {frames}+m"] | None, packing.Grid]:
        """Return packed tokens with a class token of each frame before them, their paddings and their grid.

        Args:
            x: visible tokens of clips.
            place: int32 [b, m], frame * patches + patch of each token.
            frames: t.
            patches: patches of a frame.
            frame_paddings: 1.0 where a frame is padding, or None.
        """
        first = jnp.broadcast_to(jnp.arange(frames, dtype=place.dtype), (len(x), frames))
        frame = jnp.concatenate([first, place // patches], axis=1)
        column = jnp.concatenate([jnp.zeros_like(first), 1 + place % patches], axis=1)
        paddings = None if frame_paddings is None else jnp.take_along_axis(frame_paddings, frame, axis=1)
        present = None if paddings is None else paddings < 0.5
        grid = packing.Grid(frame * (patches + 1) + column, frames, patches + 1, present)
        return self.norm(jnp.concatenate([self._copies(x, frames), x], axis=1)), paddings, grid

    def _copies(self, x: Float[Array, "b m d"], count: int) -> Float[Array, "b {count} d"]:
        token = mesh.everywhere(self.token.astype(x.dtype))
        return jnp.broadcast_to(token, (len(x), count, x.shape[-1]))
