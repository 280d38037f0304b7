"""Start a video encoder from an image model: a ViT in the weight format of Hugging Face, as the spatial part.

    video.VideoTower.encoder = @image_vit.started
    image_vit.started.encoder = @video_encoder.FactorizedVideoEncoder
    image_vit.started.weights = 'weights/vit'

The class token is dropped, with its position; the temporal part keeps its own initial weights, since the
paper does not state any (temporal_residual_scale=0.05 makes it start near the identity).

Source: VideoPrism 2.3.1 and Table 25 (spatial layers from an image model); transformers, modeling_vit.py.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.core.nn import positions
from prismlab.core.towers import video_encoder
from prismlab.core.weights import arrangement, weight_files, weight_formats

# Its layer norms store the scale itself; ours store scale - 1.
_SCALE = arrangement.Arrangement(lambda x: x + 1.0, lambda x, shape: x - 1.0, lambda shape: shape)
_Names = dict[str, tuple[str, arrangement.Arrangement]]


def _heads(theirs: str, ours: str) -> _Names:
    return {
        f"{theirs}.weight": (f"{ours}.w", arrangement.HEADS_IN),
        f"{theirs}.bias": (f"{ours}.b", arrangement.FLAT),
    }


def _linear(theirs: str, ours: str) -> _Names:
    return {
        f"{theirs}.weight": (f"{ours}.kernel", arrangement.TRANSPOSED),
        f"{theirs}.bias": (f"{ours}.bias", arrangement.SAME),
    }


def _norm(theirs: str, ours: str) -> _Names:
    return {
        f"{theirs}.weight": (f"{ours}.scale", _SCALE),
        f"{theirs}.bias": (f"{ours}.bias", arrangement.SAME),
    }


_BLOCK: _Names = {
    **_norm("layernorm_before", "attention_norm"),
    **_heads("attention.attention.query", "attention.query"),
    **_heads("attention.attention.key", "attention.key"),
    **_heads("attention.attention.value", "attention.value"),
    "attention.output.dense.weight": ("attention.post.w", arrangement.HEADS_OUT),
    "attention.output.dense.bias": ("attention.post.b", arrangement.SAME),
    **_norm("layernorm_after", "feed_norm"),
    **_linear("intermediate.dense", "feed.inner"),
    **_linear("output.dense", "feed.outer"),
}
_FINAL = _norm("layernorm", "spatial_norm")
_PATCHES = "embeddings.patch_embeddings.projection."
_POSITIONS = "embeddings.position_embeddings"


def started(
    *,
    encoder: Callable[..., video_encoder.FactorizedVideoEncoder],
    weights: str,
    mean: float = 0.5,
    std: float = 0.5,
    key: PRNGKeyArray,
) -> video_encoder.FactorizedVideoEncoder:
    """Build a video encoder whose patch projection, spatial positions, layers and norm are those of a ViT.

    Args:
        encoder: constructor of the encoder (`@video_encoder.FactorizedVideoEncoder`), called with `key`; the
            ViT has no cap of logits: atten_logit_cap=0 gives its features exactly.
        weights: a .safetensors file, or a folder with model.safetensors, of transformers' ViTModel.
        mean: mean of pixels that the ViT subtracts; it is folded into the patch projection.
        std: standard deviation of pixels that the ViT divides by, positive; folded in as well.
        key: a typed JAX key.

    Raises:
        UserError: the file is no ViT, or has other sizes than the encoder.
    """
    if not (math.isfinite(mean) and 0 < std < math.inf):
        raise errors.UserError(
            f"image_vit.started: expected a finite mean and a positive std, got {mean}, {std}"
        )
    own = encoder(key=key)
    contents = weight_files.open_file(user_paths.local(weights))
    prefix = next((each for each in ("", "vit.") if f"{each}{_POSITIONS}" in contents.shapes), None)
    if prefix is None:
        raise errors.UserError(
            f"image_vit.started.weights: expected a ViTModel of transformers with {_POSITIONS}, found "
            f"{min(contents.shapes, default='no array')} in {weights}; name such a file"
        )
    wanted = _wanted(own, prefix)
    _check(own, prefix, weights, wanted, contents.shapes)
    read = {name: np.asarray(value, np.float32) for name, value in contents.read(wanted).items()}
    fields: dict[str, Any] = {
        ours: how.back(read[prefix + theirs], weight_formats.field(own, ours).shape)
        for theirs, (ours, how) in _FINAL.items()
    }
    for theirs, (ours, how) in _BLOCK.items():
        shape = weight_formats.field(own.spatial.blocks, ours).shape[1:]
        layers = [read[f"{prefix}encoder.layer.{n}.{theirs}"] for n in range(own.spatial.count)]
        fields[f"spatial.blocks.{ours}"] = np.stack([how.back(each, shape) for each in layers])
    kernel = arrangement.PATCHES.back(
        read[f"{prefix}{_PATCHES}weight"][:, :, None], own.patch_projection.kernel.shape
    )
    fields["patch_projection.kernel"] = kernel / std
    fields["patch_projection.bias"] = read[f"{prefix}{_PATCHES}bias"] - kernel.sum(axis=0) * (mean / std)
    fields["spatial_positions.table"] = _places(own, read[prefix + _POSITIONS][0, 1:], key)
    values = [jnp.asarray(value, jnp.float32) for value in fields.values()]
    filled: video_encoder.FactorizedVideoEncoder = eqx.tree_at(
        lambda tree: [weight_formats.field(tree, ours) for ours in fields], own, values
    )
    return filled


def _wanted(own: video_encoder.FactorizedVideoEncoder, prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a ViT of the encoder's sizes: name -> shape; positions may be of another grid."""
    inputs, dim = own.patch_projection.kernel.shape
    side = math.isqrt(inputs // 3)
    found: dict[str, tuple[int, ...]] = {
        f"{prefix}{_PATCHES}weight": (dim, 3, side, side),
        f"{prefix}{_PATCHES}bias": (dim,),
        f"{prefix}{_POSITIONS}": (1, -1, dim),
    }
    for theirs, (ours, how) in _FINAL.items():
        found[prefix + theirs] = how.shape(weight_formats.field(own, ours).shape)
    for theirs, (ours, how) in _BLOCK.items():
        shape = how.shape(weight_formats.field(own.spatial.blocks, ours).shape[1:])
        found |= {f"{prefix}encoder.layer.{n}.{theirs}": shape for n in range(own.spatial.count)}
    return found


def _check(
    own: video_encoder.FactorizedVideoEncoder,
    prefix: str,
    weights: str,
    wanted: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    layers = len([name for name in shapes if name.endswith(".layernorm_before.weight")])
    if layers != own.spatial.count:
        raise errors.UserError(
            f"image_vit.started: expected {own.spatial.count} spatial layers, found {layers} in {weights}; "
            "change presets.Size.spatial_layers or name another file"
        )
    for name, shape in wanted.items():
        found = tuple(shapes.get(name, ()))
        grid = name == prefix + _POSITIONS and len(found) == 3 and found[::2] == shape[::2]
        if found != shape and not (grid and math.isqrt(found[1] - 1) ** 2 == found[1] - 1 > 0):
            raise errors.UserError(
                f"image_vit.started: expected {name} of shape {shape}, found {found or 'none'} in {weights}; "
                "change the encoder's size and patch, or name another file"
            )


def _places(own: video_encoder.FactorizedVideoEncoder, table: np.ndarray, key: PRNGKeyArray) -> Any:
    """Return the positions of the patches, interpolated to the encoder's grid."""
    side = math.isqrt(len(table))
    theirs = positions.PositionTable((side, side), table.shape[-1], key=key)
    theirs = eqx.tree_at(lambda own: own.table, theirs, jnp.asarray(table))
    return theirs(own.spatial_positions.shape)
