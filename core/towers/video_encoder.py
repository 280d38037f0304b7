"""Factorized space-time video encoder (VideoPrism, ViViT), on all tokens or on visible tokens only."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.nn import layers, packing, positions, transformer_stack
from prismlab.core.parallel import mesh
from prismlab.core.towers import clip_input, presets


def patchify(video: Float[Array, "b t height width 3"], patch: int) -> Float[Array, "b t n v"]:
    """Split each frame into square patches.

    Args:
        video: float [b, t, height, width, 3].
        patch: side of a patch in pixels; must divide height and width.

    Returns:
        float [b, t, n, patch * patch * 3]; patches row-major, values ordered by row, column, channel.

    Raises:
        UserError: if a frame is not square or its side is not divisible by the patch.
    """
    b, t, height, width, channels = video.shape
    if height != width or height % patch:
        raise errors.UserError(
            f"a frame must be square with a side divisible by the patch, {patch}; got {height} x {width}. "
            "Change the resolution or the patch."
        )
    side = height // patch
    tiles = video.reshape(b, t, side, patch, side, patch, channels)
    return tiles.transpose(0, 1, 2, 4, 3, 5, 6).reshape(b, t, side * side, patch * patch * channels)


def input_layers(
    dim: int,
    frames: int,
    resolution: int,
    patch: int,
    position_std: float | None,
    patch_gain: float | None,
    *,
    key: PRNGKeyArray,
) -> tuple[layers.Linear, positions.PositionTable, positions.PositionTable]:
    """Return the initial patch projection, spatial and temporal position table of a video encoder.

    Args:
        dim: width of the tokens.
        frames, resolution, patch, position_std, patch_gain, key: see `FactorizedVideoEncoder`.

    Raises:
        UserError: if resolution is not divisible by patch.
    """
    if resolution % patch:
        raise errors.UserError(
            f"resolution must be divisible by patch; got patch {patch}, resolution {resolution}."
        )
    side = resolution // patch
    projection = layers.Linear(patch * patch * 3, dim, key=keys.fold(key, "patch_projection"))
    if patch_gain is not None:
        kernel = patch_gain * projection.kernel
        start = (kernel, -0.5 * jnp.sum(kernel, axis=0))
        projection = eqx.tree_at(lambda p: (p.kernel, p.bias), projection, start)
    space, time = (
        positions.PositionTable(shape, dim, std=position_std, key=keys.fold(key, f"{name}_positions"))
        for name, shape in (("spatial", (side, side)), ("temporal", (frames,)))
    )
    return projection, space, time


def _take(x: Array, index: Array) -> Array:
    # x [b, s, ...], index [b, m] -> [b, m, ...]; out-of-range indices give NaN, so that they are noticed.
    def one(row: Array, chosen: Array) -> Array:
        taken: Array = row.at[chosen].get(mode="fill", fill_value=jnp.nan)
        return taken

    return jax.vmap(one)(x, index)


class FactorizedVideoEncoder(eqx.Module):
    """Factorized video encoder: patch embedding, attention within each frame, then attention over time.

    With masked inputs (section 2.3.2) the encoder processes only the visible tokens; the result equals a
    dense pass in which the other tokens are padding.

    Source: VideoPrism section 2.2 and appendix B (ViViT's factorized encoder without spatial pooling);
    public release, encoders.py.
    """

    patch_projection: layers.Linear
    spatial_positions: positions.PositionTable
    class_token: clip_input.ClassToken | None
    spatial: transformer_stack.Stack
    spatial_norm: layers.LayerNorm
    temporal_positions: positions.PositionTable
    temporal: transformer_stack.Stack
    temporal_norm: layers.LayerNorm
    patch: int = eqx.field(static=True)
    dtype: str = eqx.field(static=True)

    def __init__(
        self,
        size: presets.Size,
        frames: int,
        resolution: int,
        patch: int,
        *,
        atten_logit_cap: float = 50.0,
        norm_policy: str = "pre",
        scan: bool = True,
        remat: str = "nothing_saveable",
        position_std: float | None = None,
        patch_gain: float | None = None,
        spatial_residual_scale: float = 1.0,
        temporal_residual_scale: float = 1.0,
        clip: bool = False,
        spatial_activation: str = "gelu",
        dtype: str = "float32",
        key: PRNGKeyArray,
    ):
        """Initialize the encoder.

        Args:
            size: dim, heads, mlp_dim, spatial_layers and temporal_layers are used.
            frames: length of the temporal position table; interpolated for other lengths.
            resolution: side of a frame in pixels, for the spatial table; interpolated for others.
            patch: side of a patch in pixels; must divide resolution.
            atten_logit_cap: see `layers.attend`.
            norm_policy: see `transformer_stack.Block`.
            scan: loop over layers instead of unrolling them.
            remat: rematerialization policy, see `transformer_stack.REMAT_POLICIES`.
            position_std: initial standard deviation of both position tables; None means LeCun normal.
            patch_gain: initial factor on the patch projection, with a bias that maps mid-grey to zero; with
                16, small towers learn shapes much faster. None uses the initial weights of the release.
            spatial_residual_scale: initial factor on the residual branches of spatial layers.
            temporal_residual_scale: initial factor on the residual branches of temporal layers; 0.05
                starts near the identity.
            clip: build the spatial part as the image encoder of CLIP is built: with a class token in each
                frame, a norm before the first layer, and norms of epsilon 1e-5 (`weights/image_clip.py`).
            spatial_activation: activation of the spatial layers, see `layers.FeedForward`.
            dtype: dtype of activations, "float32" or "bfloat16"; parameters stay float32.
            key: a typed JAX key.

        Raises:
            UserError: if resolution is not divisible by patch, or a layer rejects its sizes.
        """
        self.patch_projection, self.spatial_positions, self.temporal_positions = input_layers(
            size.dim, frames, resolution, patch, position_std, patch_gain, key=key
        )
        shared: dict[str, Any] = {
            "atten_logit_cap": atten_logit_cap,
            "norm_policy": norm_policy,
            "scan": scan,
            "remat": remat,
        }
        epsilon, token = clip_input.EPSILON if clip else layers.EPSILON, keys.fold(key, "class_token")
        self.class_token = clip_input.ClassToken(size.dim, key=token) if clip else None
        self.spatial = transformer_stack.Stack(
            size.spatial_layers,
            size.dim,
            size.heads,
            size.mlp_dim,
            activation=spatial_activation,
            norm_epsilon=epsilon,
            residual_scale=spatial_residual_scale,
            **shared,
            key=keys.fold(key, "spatial"),
        )
        self.spatial_norm = layers.LayerNorm(size.dim, epsilon)
        self.temporal = transformer_stack.Stack(
            size.temporal_layers,
            size.dim,
            size.heads,
            size.mlp_dim,
            residual_scale=temporal_residual_scale,
            **shared,
            key=keys.fold(key, "temporal"),
        )
        self.temporal_norm = layers.LayerNorm(size.dim)
        self.patch = patch
        self.dtype = dtype

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.spatial.heads

    def __call__(
        self,
        video: Float[Array, "b t height width 3"],
        place: Int[Array, "b m"] | None = None,
        frame_paddings: Float[Array, "b t"] | None = None,
        *,
        tube: bool = False,
    ) -> types.Tokens:
        """Encode clips; same arguments as `features`, returns its first output."""
        return self.features(video, place, frame_paddings, tube=tube)[0]

    def features(
        self,
        video: Float[Array, "b t height width 3"],
        place: Int[Array, "b m"] | None = None,
        frame_paddings: Float[Array, "b t"] | None = None,
        *,
        tube: bool = False,
    ) -> tuple[types.Tokens, Float[Array, "b m d"]]:
        """Encode clips and return the output tokens and the features of the spatial encoder.

        Args:
            video: float [b, t, height, width, 3] in [0, 1]; height equals width.
            place: int32 [b, m], ascending token indices (frame * n + patch) of the visible tokens, in
                [0, t * n); masked pixels are not used. None means all tokens are visible.
            frame_paddings: float [b, t], 1.0 where a frame is padding; the outputs of its tokens are
                undefined.
            tube: if True, place must contain the same patches in every frame (static).

        Returns:
            Tokens after the temporal encoder, and float [b, m, d] after the spatial encoder and its norm.

        Raises:
            UserError: if frames have a wrong shape, or with tube if m is not a multiple of t.
        """
        patches = patchify(video, self.patch).astype(self.dtype)
        b, t, n, values = patches.shape
        if place is None:
            place = jnp.broadcast_to(jnp.arange(t * n, dtype=jnp.int32), (b, t * n))
            x, spatial = self._rectangular(patches, self._spatial_table(n)[None, None], frame_paddings)
        elif tube:
            if place.shape[1] % t:
                raise errors.UserError(
                    f"a tube mask keeps the same patches in all {t} frames; got {place.shape[1]} visible "
                    f"tokens, which is not a multiple of {t}. Use tube=False or another mask."
                )
            chosen = place[:, : place.shape[1] // t]
            kept = _take(patches.transpose(0, 2, 1, 3), chosen).transpose(0, 2, 1, 3)
            x, spatial = self._rectangular(kept, self._spatial_table(n)[chosen][:, None], frame_paddings)
        else:
            x, spatial = self._packed(
                _take(patches.reshape(b, t * n, values), place), place, t, n, frame_paddings
            )
        return types.Tokens(x=x, place=place), spatial

    def _spatial_table(self, n: int) -> Float[Array, "n d"]:
        side = round(n**0.5)
        return mesh.everywhere(self.spatial_positions((side, side)).astype(self.dtype))

    def _temporal_table(self, t: int) -> Float[Array, "t d"]:
        return mesh.everywhere(self.temporal_positions((t,)).astype(self.dtype))

    def _rectangular(
        self,
        patches: Float[Array, "b t c v"],
        where: Float[Array, "#b 1 c d"],
        frame_paddings: Float[Array, "b t"] | None,
    ) -> tuple[Float[Array, "b m d"], Float[Array, "b m d"]]:
        # c patches in every frame: attention rows are full frames, then full locations.
        b, t, c, _ = patches.shape
        x = self.patch_projection(patches) + where
        by_frame = by_place = None
        if frame_paddings is not None:
            paddings = jnp.broadcast_to(frame_paddings[:, :, None], (b, t, c))
            by_frame = paddings.reshape(b * t, c)
            by_place = paddings.swapaxes(1, 2).reshape(b * c, t)
        x, frames = x.reshape(b * t, c, -1), by_frame
        if self.class_token is not None:
            x, frames = self.class_token.before_frames(x, by_frame)
        x = self.spatial_norm(self.spatial(x, frames))[:, -c:].reshape(b, t, c, -1)
        spatial = x.reshape(b, t * c, -1)
        x = x.swapaxes(1, 2) + self._temporal_table(t)
        x = self.temporal_norm(self.temporal(x.reshape(b * c, t, -1), by_place))
        return x.reshape(b, c, t, -1).swapaxes(1, 2).reshape(b, t * c, -1), spatial

    def _packed(
        self,
        patches: Float[Array, "b m v"],
        place: Int[Array, "b m"],
        t: int,
        n: int,
        frame_paddings: Float[Array, "b t"] | None,
    ) -> tuple[Float[Array, "b m d"], Float[Array, "b m d"]]:
        # Any set of tokens: token-wise layers run on m tokens, attention runs on a frame x location grid.
        frame, patch = place // n, place % n
        paddings = present = None
        if frame_paddings is not None:
            paddings = jnp.take_along_axis(frame_paddings, frame, axis=1)
            present = paddings < 0.5
        x = self.patch_projection(patches) + self._spatial_table(n)[patch]
        m, padded, frames_grid = x.shape[1], paddings, packing.Grid(place, rows=t, columns=n, present=present)
        if self.class_token is not None:
            x, padded, frames_grid = self.class_token.before_packed(x, place, t, n, frame_paddings)
        spatial = self.spatial_norm(self.spatial(x, padded, layout=frames_grid))[:, -m:]
        x = spatial + self._temporal_table(t)[frame]
        places_grid = packing.Grid(patch * t + frame, rows=n, columns=t, present=present)
        return self.temporal_norm(self.temporal(x, paddings, layout=places_grid)), spatial
