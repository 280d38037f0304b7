"""Joint space-time video encoder: every token attends to all tokens of the clip, in every layer."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import keys, types
from prismlab.core.nn import layers, positions, transformer_stack
from prismlab.core.parallel import mesh
from prismlab.core.towers import presets, video_encoder


class JointVideoEncoder(eqx.Module):
    """Video encoder with joint attention over space and time, the alternative to the factorized encoder.

    Patches and positions are those of `video_encoder.FactorizedVideoEncoder`, but one stack of layers reads
    all tokens at once, at a cost of (frames * patches)² per layer instead of frames * patches². Of a masked
    clip it processes only the visible tokens.

    Source: VideoPrism, Table 24; Arnab et al. 2021 (ViViT, model 1). Neither states how many layers the
    encoder of Table 24 has.
    """

    patch_projection: layers.Linear
    spatial_positions: positions.PositionTable
    temporal_positions: positions.PositionTable
    transformer: transformer_stack.Stack
    norm: layers.LayerNorm
    patch: int = eqx.field(static=True)
    dtype: str = eqx.field(static=True)

    def __init__(
        self,
        size: presets.Size,
        frames: int,
        resolution: int,
        patch: int,
        *,
        depth: int | None = None,
        atten_logit_cap: float = 50.0,
        norm_policy: str = "pre",
        scan: bool = True,
        remat: str = "nothing_saveable",
        position_std: float | None = None,
        patch_gain: float | None = None,
        residual_scale: float = 1.0,
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        """Initialize the encoder.

        Args:
            size: dim, heads and mlp_dim are used, and both numbers of layers if depth is None.
            frames: length of the temporal position table; interpolated for other lengths.
            resolution: side of a frame in pixels, for the spatial table; interpolated for others.
            patch: side of a patch in pixels; must divide resolution.
            depth: number of layers; spatial_layers + temporal_layers if None, which gives the parameters of
                factorized encoder, but for one norm.
            atten_logit_cap: see `layers.attend`.
            norm_policy: see `transformer_stack.Block`.
            scan: loop over layers instead of unrolling them.
            remat: rematerialization policy, see `transformer_stack.REMAT_POLICIES`.
            position_std: initial standard deviation of both position tables; None means LeCun normal.
            patch_gain: see `video_encoder.FactorizedVideoEncoder`.
            residual_scale: initial factor on the residual branches.
            dtype: dtype of activations, "float32" or "bfloat16"; parameters stay float32.
            key: a typed JAX key.

        Raises:
            UserError: if resolution is not divisible by patch, or a layer rejects its sizes.
        """
        self.patch_projection, self.spatial_positions, self.temporal_positions = video_encoder.input_layers(
            size.dim, frames, resolution, patch, position_std, patch_gain, key=key
        )
        self.transformer = transformer_stack.Stack(
            size.spatial_layers + size.temporal_layers if depth is None else depth,
            size.dim,
            size.heads,
            size.mlp_dim,
            residual_scale=residual_scale,
            atten_logit_cap=atten_logit_cap,
            norm_policy=norm_policy,
            scan=scan,
            remat=remat,
            key=keys.fold(key, "transformer"),
        )
        self.norm = layers.LayerNorm(size.dim)
        self.patch = patch
        self.dtype = dtype

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.transformer.heads

    def features(
        self,
        video: Float[Array, "b t height width 3"],
        place: Int[Array, "b m"] | None = None,
        frame_paddings: Float[Array, "b t"] | None = None,
        *,
        tube: bool = False,
    ) -> tuple[types.Tokens, None]:
        """Encode clips; there are no features of a spatial part.

        Args:
            video: float [b, t, height, width, 3] in [0, 1]; height equals width.
            place: int32 [b, m], ascending token indices (frame * n + patch) of the visible tokens; None means
                all.
            frame_paddings: float [b, t], 1.0 where a frame is padding; the outputs of its tokens are
                undefined.
            tube: unused; the rows of joint attention need not be rectangular.

        Returns:
            Tokens after the final norm, and None.

        Raises:
            UserError: if frames have a wrong shape.
        """
        del tube
        patches = video_encoder.patchify(video, self.patch).astype(self.dtype)
        b, t, n, values = patches.shape
        tokens = patches.reshape(b, t * n, values)
        if place is None:
            place = jnp.broadcast_to(jnp.arange(t * n, dtype=jnp.int32), (b, t * n))
        else:
            tokens = jnp.take_along_axis(tokens, place[:, :, None], axis=1)
        frame, patch, side = place // n, place % n, round(n**0.5)
        space = mesh.everywhere(self.spatial_positions((side, side)).astype(self.dtype))
        time = mesh.everywhere(self.temporal_positions((t,)).astype(self.dtype))
        paddings = None if frame_paddings is None else jnp.take_along_axis(frame_paddings, frame, axis=1)
        x = self.transformer(self.patch_projection(tokens) + space[patch] + time[frame], paddings)
        return types.Tokens(x=self.norm(x), place=place), None
