"""Weight format of the public release (.npz): mapping of array names to our fields."""

from collections.abc import Mapping

# Release name -> our field. Both formats stack layers on axis 0.
_ATTENTION = {
    f"{part}/{leaf}": f"{part}.{leaf}" for part in ("query", "key", "value", "post") for leaf in ("w", "b")
}
_BLOCK = {
    "layer_norm": "attention_norm",
    "self_attention": "attention",
    "ff_layer/layer_norm": "feed_norm",
    "ff_layer/ffn_layer1/linear": "feed.inner",
    "ff_layer/ffn_layer2/linear": "feed.outer",
}
_HYBRID_BLOCK = {
    "pre_layer_norm": "attention_norm",
    "self_attention": "attention",
    "post_layer_norm": "attention_post_norm",
    "ff_layer/pre_layer_norm": "feed_norm",
    "ff_layer/ffn_layer1/linear": "feed.inner",
    "ff_layer/ffn_layer2/linear": "feed.outer",
    "ff_layer/post_layer_norm": "feed_post_norm",
}
_ENCODER = {
    "patch_projection/linear/kernel": "patch_projection.kernel",
    "patch_projection/linear/bias": "patch_projection.bias",
    "spatial_pos_emb/emb_var": "spatial_positions.table",
    "spatial_ln/scale": "spatial_norm.scale",
    "spatial_ln/bias": "spatial_norm.bias",
    "temporal_pos_emb/emb_var": "temporal_positions.table",
    "temporal_ln/scale": "temporal_norm.scale",
    "temporal_ln/bias": "temporal_norm.bias",
}
_POOLER = {
    "pooling_attention_query": "query",
    "pooling_attention/per_dim_scale/per_dim_scale": "attention.dimension_scale",
    "pooling_attention_layer_norm/scale": "norm.scale",
    "pooling_attention_layer_norm/bias": "norm.bias",
}
_TEXT_TOWER = {
    "cls_emb": "class_token",
    "token_emb/emb_var": "token_table",
    "unimodal_ln/scale": "norm.scale",
    "unimodal_ln/bias": "norm.bias",
}


def _under(theirs: str, ours: str, table: Mapping[str, str]) -> dict[str, str]:
    return {f"{theirs}/{a}": f"{ours}.{b}" for a, b in table.items()}


def _block_names(norm_policy: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for theirs, ours in (_HYBRID_BLOCK if norm_policy == "primer_hybrid" else _BLOCK).items():
        if theirs == "self_attention":
            names |= _under(theirs, ours, _ATTENTION)
        else:
            leaves = ("kernel", "bias") if theirs.endswith("linear") else ("scale", "bias")
            names |= {f"{theirs}/{leaf}": f"{ours}.{leaf}" for leaf in leaves}
    return names


def _encoder_names(norm_policy: str) -> dict[str, str]:
    names = dict(_ENCODER)
    for part in ("spatial", "temporal"):
        names |= _under(
            f"{part}_encoder/transformers_stack/x_layers", f"{part}.blocks", _block_names(norm_policy)
        )
    return names


def names(
    kind: str,
    norm_policy: str = "pre",
    auxiliary: bool = False,
    *,
    video_norm_policy: str = "pre",
    auxiliary_norm_policy: str = "pre",
) -> dict[str, str]:
    """Return the name table of a model: array name in the .npz -> dotted path of our field.

    Args:
        kind: see `release_config.ReleaseConfig`, also for the others.
        norm_policy: of the video encoder; for video_text, of the text tower.
        auxiliary: whether a video_text or video_tower has auxiliary layers.
        video_norm_policy: of the encoder of a video_text model; "pre" in the release.
        auxiliary_norm_policy: of the auxiliary layers; "pre" in the release.
    """
    pooler = _POOLER | _under("pooling_attention", "attention", _ATTENTION)
    if kind == "video_encoder":
        table = _encoder_names(norm_policy)
    elif kind == "video_classifier":
        table = _under("encoder", "video.encoder", _encoder_names(norm_policy))
        table |= _under("atten_pooler", "video.pooler", pooler)
        table |= _under("projection/linear", "projection", {"kernel": "kernel", "bias": "bias"})
    else:
        ours = "video." if kind == "video_text" else ""
        policy = video_norm_policy if kind == "video_text" else norm_policy
        table = _under("vision_encoder", f"{ours}encoder", _encoder_names(policy))
        if auxiliary:
            theirs = "auxiliary_encoder/transformers_stack/x_layers"
            table |= _under(theirs, f"{ours}auxiliary.blocks", _block_names(auxiliary_norm_policy))
        table |= _under("contrastive_vision_pooler", f"{ours}pooler", pooler)
    if kind == "video_text":
        table |= _under("text_encoder", "text", _TEXT_TOWER)
        theirs = "text_encoder/unimodal_transformer/x_layers"
        table |= _under(theirs, "text.transformer.blocks", _block_names(norm_policy))
    return {f"params/{theirs}": ours for theirs, ours in table.items()}
