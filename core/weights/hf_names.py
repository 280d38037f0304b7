"""Hugging Face weight format: mapping of array names to our fields, and the matching config.json.

Source: transformers 5.24, modeling_videoprism.py and configuration_videoprism.py. Its layer norms store a
zero-centred scale and apply 1 + scale, as in the release and here, so values are converted unchanged.
"""

from typing import Any

from prismlab.core.weights import arrangement as arrange
from prismlab.core.weights import release_config

# Name in transformers -> (our field, conversion to its array). `{}` is the layer index: our stacks have the
# layers on axis 0, transformers has one array per layer.
Names = dict[str, tuple[str, arrange.Arrangement]]

_ATTENTION: Names = {
    "q_proj.weight": ("query.w", arrange.HEADS_IN),
    "q_proj.bias": ("query.b", arrange.FLAT),
    "k_proj.weight": ("key.w", arrange.HEADS_IN),
    "k_proj.bias": ("key.b", arrange.FLAT),
    "v_proj.weight": ("value.w", arrange.HEADS_IN),
    "v_proj.bias": ("value.b", arrange.FLAT),
    "o_proj.weight": ("post.w", arrange.HEADS_OUT),
    "o_proj.bias": ("post.b", arrange.SAME),
}
_NORM: Names = {"weight": ("scale", arrange.SAME), "bias": ("bias", arrange.SAME)}
_LINEAR: Names = {"weight": ("kernel", arrange.TRANSPOSED), "bias": ("bias", arrange.SAME)}


def _under(theirs: str, ours: str, names: Names) -> Names:
    return {f"{theirs}{a}": (f"{ours}{b}", how) for a, (b, how) in names.items()}


_BLOCK: Names = {
    **_under("layernorm_before.", "attention_norm.", _NORM),
    **_under("attention.", "attention.", _ATTENTION),
    **_under("layernorm_after.", "feed_norm.", _NORM),
    **_under("mlp.fc1.", "feed.inner.", _LINEAR),
    **_under("mlp.fc2.", "feed.outer.", _LINEAR),
}
# transformers has no norm after a branch (giant's text tower needs it); these two names are our own.
_HYBRID_BLOCK: Names = {
    **_BLOCK,
    **_under("layernorm_before_post.", "attention_post_norm.", _NORM),
    **_under("layernorm_after_post.", "feed_post_norm.", _NORM),
}
_ENCODER: Names = {
    "spatial_embeddings.patch_embeddings.projection.weight": ("patch_projection.kernel", arrange.PATCHES),
    "spatial_embeddings.patch_embeddings.projection.bias": ("patch_projection.bias", arrange.SAME),
    "spatial_embeddings.position_embeddings": ("spatial_positions.table", arrange.LEADING_ONE),
    "temporal_embeddings.position_embeddings": ("temporal_positions.table", arrange.LEADING_ONE),
    **_under("layernorm1.", "spatial_norm.", _NORM),
    **_under("layernorm2.", "temporal_norm.", _NORM),
}
_POOLER: Names = {
    "head.pooling_attention_query": ("query", arrange.LEADING_ONE),
    "head.per_dim_scale": ("attention.dimension_scale", arrange.SAME),
    **_under("head.", "attention.", _ATTENTION),
    **_under("head_layernorm.", "norm.", _NORM),
}
_TEXT_TOWER: Names = {
    "embeddings.cls_emb": ("class_token", arrange.SAME),
    "embeddings.token_embedding.weight": ("token_table", arrange.SAME),
    **_under("layernorm.", "norm.", _NORM),
}
# Buffers of the text tower in transformers: stored in the file, but computed from their shape.
POSITIONS = "text_model.embeddings.position_embedding"
POSITION_IDS = "text_model.embeddings.position_ids"
LONGEST_TEXT = 64


def _block(norm_policy: str) -> Names:
    return _HYBRID_BLOCK if norm_policy == "primer_hybrid" else _BLOCK


def _encoder(norm_policy: str) -> Names:
    return {
        **_ENCODER,
        **_under("spatial_layers.{}.", "spatial.blocks.", _block(norm_policy)),
        **_under("temporal_layers.{}.", "temporal.blocks.", _block(norm_policy)),
    }


def names(config: release_config.ReleaseConfig) -> Names:
    """Return the name table of a model: name in transformers -> (our field, conversion).

    Args:
        config: from `release_config.checked`.
    """
    policy = config.norm_policy
    if config.kind == "video_encoder":
        return _encoder(policy)
    if config.kind == "video_classifier":
        return {
            **_under("vision_model.", "video.encoder.", _encoder(policy)),
            **_under("", "video.pooler.", _POOLER),
            **_under("classifier.", "projection.", _LINEAR),
        }
    ours = "video." if config.kind == "video_text" else ""
    table = {
        **_under("video_model.vision_model.", f"{ours}encoder.", _encoder(config.encoder_norm_policy)),
        **_under("video_model.", f"{ours}pooler.", _POOLER),
    }
    if config.num_auxiliary_layers:
        block = _block(config.auxiliary_norm_policy or "pre")
        table |= _under("video_model.auxiliary_layers.{}.", f"{ours}auxiliary.blocks.", block)
    if config.kind == "video_text":
        table |= _under("text_model.", "text.", _TEXT_TOWER)
        table |= _under("text_model.layers.{}.", "text.transformer.blocks.", _block(policy))
    return table


def config_json(config: release_config.ReleaseConfig) -> dict[str, Any]:
    """Return the config.json with which transformers builds the same model.

    Args:
        config: from `release_config.checked`, with `is_of_release`.
    """
    patch = config.patch_size
    shared = {
        "hidden_size": config.model_dim,
        "num_attention_heads": config.num_heads,
        # transformers always divides by the cap; 1e6 has no effect and stands for no cap.
        "attn_logit_softcapping": float(config.atten_logit_cap or 1e6),
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    vision = {
        **shared,
        "model_type": "videoprism_vision_model",
        "image_size": config.resolution,
        "num_frames": config.frames,
        "tubelet_size": [1, patch, patch],
        "num_channels": 3,
        "intermediate_size": config.mlp_dim,
        "num_spatial_layers": config.num_spatial_layers,
        "num_temporal_layers": config.num_temporal_layers,
        "num_auxiliary_layers": config.num_auxiliary_layers,
        "hidden_act": "gelu_python",
    }
    if config.kind == "video_encoder":
        return {"architectures": ["VideoPrismVisionModel"], "dtype": "float32", **vision}
    if config.kind == "video_classifier":
        labels = {f"LABEL_{index}": index for index in range(config.num_classes)}
        return {
            "architectures": ["VideoPrismForVideoClassification"],
            "dtype": "float32",
            "id2label": {str(index): label for label, index in labels.items()},
            "label2id": labels,
            **vision,
        }
    spoken = {
        **shared,
        "model_type": "videoprism_text_model",
        "intermediate_size": 4 * config.model_dim,
        "num_hidden_layers": config.num_unimodal_layers,
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": LONGEST_TEXT,
        "hidden_act": "relu",
        "pad_token_id": 0,
    }
    return {
        "architectures": ["VideoPrismClipModel"],
        "model_type": "videoprism",
        "dtype": "float32",
        "vision_config": vision,
        "text_config": spoken,
    }
