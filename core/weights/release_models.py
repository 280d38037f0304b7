"""Public VideoPrism models as Equinox modules: build one from a configuration, and the reverse."""

import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from prismlab.core import keys
from prismlab.core.nn import layers, transformer_stack
from prismlab.core.towers import presets, text, video, video_encoder
from prismlab.core.weights import release_config


class VideoText(eqx.Module):
    """Public video-text model: video tower and text tower."""

    video: video.VideoTower
    text: text.TextTower


class VideoClassifier(eqx.Module):
    """Public video classifier: video tower (pooler of the encoder's width) and a linear head."""

    video: video.VideoTower
    projection: layers.Linear


Model = video_encoder.FactorizedVideoEncoder | VideoText | VideoClassifier


def build(
    name_or_config: str | Mapping[str, Any],
    key: PRNGKeyArray,
    *,
    dtype: str = "float32",
    remat: str = "nothing_saveable",
) -> Model:
    """Build a public model with randomly initialized weights; see `released.build`."""
    full = release_config.checked(name_or_config)
    kind = full["kind"]
    frames, side, _ = full["pos_emb_shape"]
    size = presets.Size(
        dim=full["model_dim"],
        heads=full["num_heads"],
        mlp_dim=full["mlp_dim"],
        spatial_layers=full["num_spatial_layers"],
        temporal_layers=full["num_temporal_layers"],
        text_layers=full.get("num_unimodal_layers", 0),
    )
    shared = {"atten_logit_cap": full["atten_logit_cap"], "scan": full["scan"], "dtype": dtype}
    shared |= {"remat": remat}
    policy = full["norm_policy"]
    video_key = keys.fold(key, "video")
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder,
        size,
        frames,
        side * full["patch_size"],
        full["patch_size"],
        **shared,
    )
    if kind == "video_encoder":
        return encoder(norm_policy=policy, key=video_key)
    if kind == "video_classifier":
        make = functools.partial(encoder, norm_policy=policy)
        return VideoClassifier(
            video.VideoTower(make, pooler_dim=size.dim, key=video_key),
            layers.Linear(size.dim, full["num_classes"], key=keys.fold(key, "projection")),
        )
    auxiliary = None
    if full["num_auxiliary_layers"]:
        auxiliary = functools.partial(
            transformer_stack.Stack,
            full["num_auxiliary_layers"],
            size.dim,
            size.heads,
            size.mlp_dim,
            **{name: shared[name] for name in ("atten_logit_cap", "scan", "remat")},
        )
    return VideoText(
        video.VideoTower(encoder, auxiliary=auxiliary, key=video_key),
        text.TextTower(
            size,
            full["vocabulary_size"],
            norm_policy=policy,
            causal=full["enable_causal_atten"],
            wavelengths=full["text_sines"],
            **shared,
            key=keys.fold(key, "text"),
        ),
    )


def encoder_of(model: Model) -> video_encoder.FactorizedVideoEncoder:
    """Return the video encoder of any public model."""
    return model if isinstance(model, video_encoder.FactorizedVideoEncoder) else model.video.encoder


def describe(model: Model) -> dict[str, Any]:
    """Return the configuration of a model; the inverse of `build`.

    Args:
        model: any public model.
    """
    own = encoder_of(model)
    block = own.spatial.blocks
    config: dict[str, Any] = {
        "kind": "video_encoder",
        "patch_size": own.patch,
        "pos_emb_shape": (own.temporal_positions.shape[0], *own.spatial_positions.shape),
        "model_dim": own.patch_projection.bias.shape[-1],
        "num_spatial_layers": own.spatial.count,
        "num_temporal_layers": own.temporal.count,
        "num_heads": block.attention.query.b.shape[-2],
        "mlp_dim": block.feed.inner.bias.shape[-1],
        "atten_logit_cap": block.attention.logit_cap,
        "norm_policy": block.norm_policy,
        "scan": own.spatial.scan,
    }
    if isinstance(model, VideoClassifier):
        config |= {"kind": "video_classifier", "num_classes": model.projection.bias.shape[-1]}
    if isinstance(model, VideoText):
        auxiliary, spoken = model.video.auxiliary, model.text
        config |= {
            "kind": "video_text",
            "vocabulary_size": spoken.vocabulary,
            "num_unimodal_layers": spoken.transformer.count,
            "num_auxiliary_layers": 0 if auxiliary is None else auxiliary.count,
            "norm_policy": spoken.transformer.blocks.norm_policy,
            "enable_causal_atten": spoken.causal,
            "text_sines": spoken.wavelengths,
        }
    return config
