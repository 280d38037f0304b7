"""Video tower: factorized space-time encoder and attention pooler."""

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import pooling, transformer_stack
from prismlab.core.towers import presets, video_encoder

# Re-exported for users of the tower.
FactorizedVideoEncoder = video_encoder.FactorizedVideoEncoder
patchify = video_encoder.patchify


class VideoTower(eqx.Module):
    """Video encoder with an optional attention pooler that returns one vector per clip.

    Source: VideoPrism section 2.3.1 (MAP head over all tokens). The full-attention layers before the
    pooler, `auxiliary_layers`, are part of the public video-text release only (2 layers).
    """

    inputs: ClassVar[tuple[str, ...]] = ("video",)  # fields of Batch that this tower reads

    encoder: video_encoder.FactorizedVideoEncoder
    auxiliary: transformer_stack.Stack | None
    pooler: pooling.AttentionPooler | None

    def __init__(
        self,
        size: presets.Size,
        frames: int,
        resolution: int,
        patch: int,
        *,
        pooler_heads: int | None = None,
        pooler_dim: int | None = None,
        auxiliary_layers: int = 0,
        use_pooler: bool = True,
        atten_logit_cap: float = 50.0,
        norm_policy: str = "pre",
        scan: bool = True,
        remat: str = "nothing_saveable",
        position_std: float | None = None,
        patch_gain: float | None = None,
        spatial_residual_scale: float = 1.0,
        temporal_residual_scale: float = 1.0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        """Initialize the tower.

        Args:
            size: see `presets.Size`.
            frames: length of the temporal position table, see `video_encoder.FactorizedVideoEncoder`.
            resolution: side of a frame in pixels.
            patch: side of a patch in pixels.
            pooler_heads: number of heads of the pooler; size.heads if None.
            pooler_dim: total width of the pooler's heads; 4 * size.dim if None.
            auxiliary_layers: number of full-attention layers between encoder and pooler.
            use_pooler: False builds the tower without pooler and auxiliary layers.
            atten_logit_cap: see `layers.attend`.
            norm_policy: see `transformer_stack.Block`.
            scan: loop over layers instead of unrolling them.
            remat: rematerialization policy, see `transformer_stack.REMAT_POLICIES`.
            position_std: initial standard deviation of both position tables; None means LeCun normal.
            patch_gain: see `video_encoder.FactorizedVideoEncoder`.
            spatial_residual_scale: initial factor on the residual branches of spatial layers.
            temporal_residual_scale: initial factor on the residual branches of temporal layers.
            dtype: dtype of activations.
            key: a typed JAX key.
        """
        shared: dict[str, Any] = {
            "atten_logit_cap": atten_logit_cap,
            "norm_policy": norm_policy,
            "scan": scan,
            "remat": remat,
        }
        self.encoder = video_encoder.FactorizedVideoEncoder(
            size,
            frames,
            resolution,
            patch,
            **shared,
            position_std=position_std,
            patch_gain=patch_gain,
            spatial_residual_scale=spatial_residual_scale,
            temporal_residual_scale=temporal_residual_scale,
            dtype=dtype,
            key=keys.fold(key, "encoder"),
        )
        self.auxiliary = None
        self.pooler = None
        if auxiliary_layers and not use_pooler:
            raise errors.UserError(
                "auxiliary_layers require a pooler; set use_pooler=True or auxiliary_layers=0."
            )
        if auxiliary_layers:
            self.auxiliary = transformer_stack.Stack(
                auxiliary_layers,
                size.dim,
                size.heads,
                size.mlp_dim,
                **shared,
                key=keys.fold(key, "auxiliary"),
            )
        if use_pooler:
            self.pooler = pooling.AttentionPooler(
                size.dim, pooler_heads or size.heads, pooler_dim, key=keys.fold(key, "pooler")
            )

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
            Encoded(tokens=encoder tokens, pooled=[b, d], or None without a pooler).
        """
        tokens = self.encoder(video, place, tube=tube)
        return types.Encoded(tokens=tokens, pooled=None if self.pooler is None else self.pool(tokens.x))
