"""Video tower: an encoder of space and time, and an attention pooler."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import pooling, transformer_stack
from prismlab.core.towers import joint_encoder, video_encoder

# Re-exported for users of the tower.
FactorizedVideoEncoder = video_encoder.FactorizedVideoEncoder
Encoder = video_encoder.FactorizedVideoEncoder | joint_encoder.JointVideoEncoder
patchify = video_encoder.patchify


class VideoTower(eqx.Module):
    """Video encoder with an optional attention pooler that returns one vector per clip.

    Source: VideoPrism section 2.3.1 (MAP head over all tokens). The full-attention layers before the
    pooler, `auxiliary`, are part of the public video-text release only (2 layers).
    """

    inputs: ClassVar[tuple[str, ...]] = ("video",)  # fields of Batch that this tower reads

    encoder: Encoder
    auxiliary: transformer_stack.Stack | None
    pooler: pooling.AttentionPooler | None

    def __init__(
        self,
        encoder: Callable[..., Encoder],
        *,
        pooler_heads: int | None = None,
        pooler_dim: int | None = None,
        auxiliary: Callable[..., transformer_stack.Stack] | None = None,
        use_pooler: bool = True,
        key: PRNGKeyArray,
    ):
        """Initialize the tower.

        Args:
            encoder: constructor of the encoder (`@video_encoder.FactorizedVideoEncoder` or
                `@joint_encoder.JointVideoEncoder`), called with `key`.
            pooler_heads: number of heads of the pooler; those of the encoder if None.
            pooler_dim: total width of the pooler's heads; 4 times the encoder's width if None.
            auxiliary: constructor of the full-attention layers between encoder and pooler, called with `key`;
                None for no such layers.
            use_pooler: False builds the tower without pooler.
            key: a typed JAX key.

        Raises:
            UserError: for auxiliary layers without a pooler.
        """
        if auxiliary is not None and not use_pooler:
            raise errors.UserError(
                "auxiliary layers require a pooler; set use_pooler=True or auxiliary=None."
            )
        self.encoder = encoder(key=keys.fold(key, "encoder"))
        self.auxiliary = None if auxiliary is None else auxiliary(key=keys.fold(key, "auxiliary"))
        self.pooler = None
        if use_pooler:
            heads = pooler_heads or self.encoder.heads
            self.pooler = pooling.AttentionPooler(self.dim, heads, pooler_dim, key=keys.fold(key, "pooler"))

    @property
    def dim(self) -> int:
        """Width of the tokens and of the pooled vector, d."""
        return self.encoder.patch_projection.bias.shape[-1]

    @property
    def dtype(self) -> str:
        """Dtype of activations."""
        return self.encoder.dtype

    @property
    def frames(self) -> int:
        """Number of frames in the temporal position table, t."""
        return self.encoder.temporal_positions.shape[0]

    @property
    def patches(self) -> int:
        """Number of patches per frame at the tower's resolution, n."""
        rows, columns = self.encoder.spatial_positions.shape
        return rows * columns

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.encoder.patch

    @property
    def resolution(self) -> int:
        """Side of a frame in pixels."""
        return self.encoder.spatial_positions.shape[0] * self.encoder.patch

    def pool(self, x: Float[Array, "b m d"]) -> Float[Array, "b d"]:
        """Pool encoder tokens to one vector per example, after the auxiliary layers if there are any.

        Raises:
            UserError: if the tower has no pooler.
        """
        if self.pooler is None:
            raise errors.UserError("this tower has no pooler; build it with use_pooler=True.")
        return self.pooler(x if self.auxiliary is None else self.auxiliary(x))

    def __call__(
        self,
        video: Float[Array, "b t height width 3"],
        place: Int[Array, "b m"] | None = None,
        tube: bool = False,
    ) -> types.Encoded:
        """Encode clips.

        Args:
            video: float [b, t, height, width, 3] in [0, 1].
            place: int32 [b, m], ascending token indices of the visible tokens; None means all.
            tube: if True, place must contain the same patches in every frame (static).

        Returns:
            Encoded(tokens=encoder tokens, pooled=[b, d], or None without a pooler, spatial=[b, m, d], or None
            from an encoder without a spatial part).
        """
        tokens, spatial = self.encoder.features(video, place, tube=tube)
        pooled = None if self.pooler is None else self.pool(tokens.x)
        return types.Encoded(tokens=tokens, pooled=pooled, spatial=spatial)
