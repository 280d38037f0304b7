"""Public VideoPrism models as Equinox modules: build one from a configuration, and the reverse."""

import dataclasses
import functools

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
    name_or_config: release_config.NameOrConfig,
    key: PRNGKeyArray,
    *,
    dtype: str = "float32",
    remat: str = "nothing_saveable",
) -> Model:
    """Build a public model with randomly initialized weights; see `released.build`."""
    config = release_config.checked(name_or_config)
    size = presets.Size(
        dim=config.model_dim,
        heads=config.num_heads,
        mlp_dim=config.mlp_dim,
        spatial_layers=config.num_spatial_layers,
        temporal_layers=config.num_temporal_layers,
        text_layers=config.num_unimodal_layers,
    )
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder,
        size,
        config.frames,
        config.resolution,
        config.patch_size,
        atten_logit_cap=config.atten_logit_cap,
        # The video tower of a video-text model has the norms of the bare encoder.
        norm_policy="pre" if config.kind == "video_text" else config.norm_policy,
        scan=config.scan,
        dtype=dtype,
        remat=remat,
    )
    video_key = keys.fold(key, "video")
    if config.kind == "video_encoder":
        return encoder(key=video_key)
    if config.kind == "video_classifier":
        return VideoClassifier(
            video.VideoTower(encoder, pooler_dim=size.dim, key=video_key),
            layers.Linear(size.dim, config.num_classes, key=keys.fold(key, "projection")),
        )
    auxiliary = functools.partial(
        transformer_stack.Stack,
        config.num_auxiliary_layers,
        size.dim,
        size.heads,
        size.mlp_dim,
        atten_logit_cap=config.atten_logit_cap,
        scan=config.scan,
        remat=remat,
    )
    return VideoText(
        video.VideoTower(
            encoder, auxiliary=auxiliary if config.num_auxiliary_layers else None, key=video_key
        ),
        text.TextTower(
            size,
            config.vocabulary_size,
            atten_logit_cap=config.atten_logit_cap,
            norm_policy=config.norm_policy,
            causal=config.enable_causal_atten,
            wavelengths=config.text_sines,
            scan=config.scan,
            remat=remat,
            dtype=dtype,
            key=keys.fold(key, "text"),
        ),
    )


def encoder_of(model: Model) -> video_encoder.FactorizedVideoEncoder:
    """Return the video encoder of any public model."""
    return model if isinstance(model, video_encoder.FactorizedVideoEncoder) else model.video.encoder


def describe(model: Model) -> release_config.ReleaseConfig:
    """Return the configuration of a model; the inverse of `build`.

    Args:
        model: any public model.
    """
    own = encoder_of(model)
    block = own.spatial.blocks
    rows, columns = own.spatial_positions.shape
    config = release_config.ReleaseConfig(
        kind="video_encoder",
        patch_size=own.patch,
        pos_emb_shape=(own.temporal_positions.shape[0], rows, columns),
        model_dim=own.patch_projection.bias.shape[-1],
        num_spatial_layers=own.spatial.count,
        num_temporal_layers=own.temporal.count,
        num_heads=block.attention.query.b.shape[-2],
        mlp_dim=block.feed.inner.bias.shape[-1],
        atten_logit_cap=block.attention.logit_cap,
        norm_policy=block.norm_policy,
        scan=own.spatial.scan,
    )
    if isinstance(model, VideoClassifier):
        classes = model.projection.bias.shape[-1]
        return dataclasses.replace(config, kind="video_classifier", num_classes=classes)
    if isinstance(model, VideoText):
        auxiliary, own_text = model.video.auxiliary, model.text
        return dataclasses.replace(
            config,
            kind="video_text",
            vocabulary_size=own_text.vocabulary,
            num_unimodal_layers=own_text.transformer.count,
            num_auxiliary_layers=0 if auxiliary is None else auxiliary.count,
            norm_policy=own_text.transformer.blocks.norm_policy,
            enable_causal_atten=own_text.causal,
            text_sines=own_text.wavelengths,
        )
    return config
