"""Start a video encoder from an image encoder of CLIP or CoCa, as the spatial part.

    video.VideoTower.encoder = @image_clip.started
    image_clip.started.encoder = @video_encoder.FactorizedVideoEncoder
    image_clip.started.weights = 'weights/clip/model.safetensors'
    image_clip.started.config = 'weights/clip/config.json'
    video_encoder.FactorizedVideoEncoder.atten_logit_cap = 0.0

Weights are those of transformers (CLIPModel: `vision_model.*`; CLIPVisionModel: the same, or no prefix) or of
OpenCLIP, CLIP and CoCa (`visual.*`), as .safetensors. The class token, the norm before the first layer, the
epsilon of the norms and the activation carry over, so that the features of each frame are those of the file.
The norm after the spatial part is the one that the file applies next: to the class token, before its
projection (CLIP), or to the tokens that its pooler attends to (CoCa, `attn_pool.ln_k`). Positions of another
grid are interpolated. Not carried over: pooler, projection and the text encoder, whose tokenizer and
positions are others. The temporal part keeps its own initial weights.

Source: Radford et al. 2021 (CLIP); Yu et al. 2022 (CoCa); transformers, modeling_clip.py; open_clip,
transformer.py; VideoPrism, Table 25.
"""

import dataclasses
from collections.abc import Callable, Sequence

from jaxtyping import PRNGKeyArray

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.core.towers import video_encoder
from prismlab.core.weights import clip_config, vit_parts, weight_files

READER = "image_clip.started"
# Of the pixels of CLIP's images, by channel.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
_ATTENTION = ("attention.query", "attention.key", "attention.value")
_TRANSFORMERS = vit_parts.Format(
    reader=READER,
    prefix="vision_model.",
    patches="embeddings.patch_embedding.weight",
    patch_bias=None,
    positions="embeddings.position_embedding.weight",
    class_token="embeddings.class_embedding",
    whole={
        **vit_parts.norm("pre_layrnorm", "class_token.norm"),
        **vit_parts.norm("post_layernorm", "spatial_norm"),
    },
    layer="encoder.layers.{}.",
    block={
        **vit_parts.norm("layer_norm1", "attention_norm"),
        **vit_parts.heads("self_attn.q_proj", [_ATTENTION[0]]),
        **vit_parts.heads("self_attn.k_proj", [_ATTENTION[1]]),
        **vit_parts.heads("self_attn.v_proj", [_ATTENTION[2]]),
        **vit_parts.heads_out("self_attn.out_proj", "attention.post"),
        **vit_parts.norm("layer_norm2", "feed_norm"),
        **vit_parts.linear("mlp.fc1", "feed.inner"),
        **vit_parts.linear("mlp.fc2", "feed.outer"),
    },
    unused=("embeddings.position_ids", "visual_projection."),
)


def _open_clip(final: str, unused: tuple[str, ...]) -> vit_parts.Format:
    return vit_parts.Format(
        reader=READER,
        prefix="visual.",
        patches="conv1.weight",
        patch_bias=None,
        positions="positional_embedding",
        class_token="class_embedding",
        whole={**vit_parts.norm("ln_pre", "class_token.norm"), **vit_parts.norm(final, "spatial_norm")},
        layer="transformer.resblocks.{}.",
        block={
            **vit_parts.norm("ln_1", "attention_norm"),
            **vit_parts.heads("attn.in_proj", _ATTENTION, "_"),
            **vit_parts.heads_out("attn.out_proj", "attention.post"),
            **vit_parts.norm("ln_2", "feed_norm"),
            **vit_parts.linear("mlp.c_fc", "feed.inner"),
            **vit_parts.linear("mlp.c_proj", "feed.outer"),
        },
        unused=unused,
    )


_OPEN_CLIP = _open_clip("ln_post", ("proj",))
_COCA = _open_clip("attn_pool.ln_k", ("proj", "attn_pool.", "ln_post."))


def started(
    *,
    encoder: Callable[..., video_encoder.FactorizedVideoEncoder],
    weights: str,
    config: str,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    key: PRNGKeyArray,
) -> video_encoder.FactorizedVideoEncoder:
    """Build a video encoder whose patch projection, spatial positions, layers and norms are those of a CLIP.

    Args:
        encoder: constructor of the encoder (`@video_encoder.FactorizedVideoEncoder`) with atten_logit_cap=0,
            called with `key`, `clip` and `spatial_activation`.
        weights: a .safetensors file of transformers or OpenCLIP.
        config: the config.json or open_clip_config.json that was saved with it, which states heads and
            activation.
        mean: mean of the pixels that the model subtracts, by channel; folded into the patch projection.
        std: standard deviation of the pixels that the model divides by, by channel; folded in as well.
        key: a typed JAX key.

    Raises:
        UserError: the files are no CLIP or CoCa, state another normalization of pixels, or have other sizes
            than the encoder.
    """
    pixels = vit_parts.Pixels(mean, std, READER)
    contents = weight_files.open_file(user_paths.local(weights))
    names = _names(contents, weights)
    where = user_paths.local(config)
    is_open_clip = names.prefix == _OPEN_CLIP.prefix
    stated = clip_config.of_open_clip(where) if is_open_clip else clip_config.of_transformers(where)
    for name, given, found in (("mean", mean, stated.mean), ("std", std, stated.std)):
        if found is not None and tuple(given) != found:
            raise errors.UserError(
                f"{READER}.{name}: expected {found}, which {config} states, got {tuple(given)}; "
                "set it to that"
            )
    own = encoder(clip=True, spatial_activation=stated.activation, key=key)
    block = own.spatial.blocks
    if block.attention.logit_cap or block.norm_policy != "pre":
        raise errors.UserError(
            f"{READER}: CLIP has no cap of logits and its norms before each branch; set "
            "video_encoder.FactorizedVideoEncoder.atten_logit_cap=0.0 and norm_policy='pre'"
        )
    if own.heads != stated.heads:
        raise errors.UserError(
            f"{READER}: expected {own.heads} heads, found {stated.heads} in {config}; change "
            "presets.Size.heads or name another file"
        )
    return vit_parts.filled(own, names, contents, pixels, key=key)


def _names(contents: weight_files.Contents, weights: str) -> vit_parts.Format:
    coca = "visual.attn_pool.ln_k.weight" in contents.shapes
    bare = dataclasses.replace(_TRANSFORMERS, prefix="")  # CLIPVisionModel, as transformers 5 saves it
    for names in (_TRANSFORMERS, bare, _COCA if coca else _OPEN_CLIP):
        if f"{names.prefix}{names.class_token}" in contents.shapes:
            return names
    raise errors.UserError(
        f"{READER}.weights: expected the image encoder of a CLIP of transformers "
        f"(vision_model.embeddings.class_embedding) or of OpenCLIP (visual.class_embedding), found "
        f"{min(contents.shapes, default='no array')} in {weights}; name such a file"
    )
