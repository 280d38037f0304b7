"""Start a video encoder from an image model: a ViT in the weight format of Hugging Face, as the spatial part.

    video.VideoTower.encoder = @image_vit.started
    image_vit.started.encoder = @video_encoder.FactorizedVideoEncoder
    image_vit.started.weights = 'weights/vit'

The class token is dropped, with its position; the temporal part keeps its own initial weights, since the
paper does not state any (temporal_residual_scale=0.05 makes it start near the identity).

Source: VideoPrism 2.3.1 and Table 25 (spatial layers from an image model); transformers, modeling_vit.py.
"""

from collections.abc import Callable

from jaxtyping import PRNGKeyArray

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.core.towers import video_encoder
from prismlab.core.weights import vit_parts, weight_files

_POSITIONS = "embeddings.position_embeddings"
_PROJECTION = "embeddings.patch_embeddings.projection"
_BLOCK: vit_parts.Names = {
    **vit_parts.norm("layernorm_before", "attention_norm"),
    **vit_parts.heads("attention.attention.query", ["attention.query"]),
    **vit_parts.heads("attention.attention.key", ["attention.key"]),
    **vit_parts.heads("attention.attention.value", ["attention.value"]),
    **vit_parts.heads_out("attention.output.dense", "attention.post"),
    **vit_parts.norm("layernorm_after", "feed_norm"),
    **vit_parts.linear("intermediate.dense", "feed.inner"),
    **vit_parts.linear("output.dense", "feed.outer"),
}


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
    pixels = vit_parts.Pixels((mean,) * 3, (std,) * 3, "image_vit.started")
    own = encoder(key=key)
    contents = weight_files.open_file(user_paths.local(weights))
    prefix = next((each for each in ("", "vit.") if f"{each}{_POSITIONS}" in contents.shapes), None)
    if prefix is None:
        raise errors.UserError(
            f"image_vit.started.weights: expected a ViTModel of transformers with {_POSITIONS}, found "
            f"{min(contents.shapes, default='no array')} in {weights}; name such a file"
        )
    names = vit_parts.Format(
        reader="image_vit.started",
        prefix=prefix,
        patches=f"{_PROJECTION}.weight",
        patch_bias=f"{_PROJECTION}.bias",
        positions=_POSITIONS,
        whole=vit_parts.norm("layernorm", "spatial_norm"),
        layer="encoder.layer.{}.",
        block=_BLOCK,
    )
    return vit_parts.filled(own, names, contents, pixels, key=key)
