"""Public VideoPrism models as Equinox modules: build one from a configuration, and the reverse."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers, transformer_stack
from prismlab.core.towers import presets, text, video, video_encoder
from prismlab.core.weights import release_config

# Default rematerialization policy of public models, see `transformer_stack.REMAT_POLICIES`.
REMAT = "nothing_saveable"


class VideoText(eqx.Module):
    """Model of video and text: of a public one video.VideoTower and text.TextTower, of a stage any towers."""

    video: Any
    text: Any


class VideoClassifier(eqx.Module):
    """Public video classifier: video tower (pooler of the encoder's width) and a linear head."""

    video: video.VideoTower
    projection: layers.Linear


Model = video_encoder.FactorizedVideoEncoder | video.VideoTower | VideoText | VideoClassifier


def build(
    name_or_config: release_config.NameOrConfig,
    key: PRNGKeyArray,
    *,
    dtype: str = "float32",
    remat: str = REMAT,
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
        norm_policy=config.encoder_norm_policy,
        scan=config.scan,
        dtype=dtype,
        remat=remat,
    )
    video_key = keys.fold(key, "video")
    if config.kind == "video_encoder":
        return encoder(key=video_key)
    tower = functools.partial(video.VideoTower, encoder, pooler_heads=config.pooler_heads, key=video_key)
    if config.kind == "video_classifier":
        return VideoClassifier(
            tower(pooler_dim=config.pooler_dim or size.dim),
            layers.Linear(size.dim, config.num_classes, key=keys.fold(key, "projection")),
        )
    auxiliary = functools.partial(
        transformer_stack.Stack,
        config.num_auxiliary_layers,
        size.dim,
        config.auxiliary_heads or size.heads,
        config.auxiliary_mlp_dim or size.mlp_dim,
        norm_policy=config.auxiliary_norm_policy or "pre",
        atten_logit_cap=_given(config.auxiliary_logit_cap, config.atten_logit_cap),
        scan=config.scan,
        remat=remat,
    )
    seen = tower(pooler_dim=config.pooler_dim, auxiliary=auxiliary if config.num_auxiliary_layers else None)
    if config.kind == "video_tower":
        return seen
    text_size = dataclasses.replace(
        size, dim=config.text_dim or size.dim, heads=config.text_heads or size.heads
    )
    return VideoText(
        seen,
        text.TextTower(
            text_size,
            config.vocabulary_size,
            atten_logit_cap=_given(config.text_logit_cap, config.atten_logit_cap),
            norm_policy=config.norm_policy,
            causal=config.enable_causal_atten,
            wavelengths=config.text_sines,
            scan=config.scan,
            remat=remat,
            dtype=dtype,
            key=keys.fold(key, "text"),
        ),
    )


def _given(cap: float | None, usual: float) -> float:
    return usual if cap is None else cap


def encoder_of(model: Model) -> video_encoder.FactorizedVideoEncoder:
    """Return the video encoder of any public model."""
    if isinstance(model, video_encoder.FactorizedVideoEncoder):
        return model
    tower = model if isinstance(model, video.VideoTower) else model.video
    encoder: Any = tower.encoder
    released: video_encoder.FactorizedVideoEncoder = encoder
    return released


def describe(model: Any) -> release_config.ReleaseConfig:
    """Return the configuration of a model; the inverse of `build`.

    Args:
        model: any public model, or the towers of a recipe, whatever their sizes.

    Raises:
        UserError: a tower is of a class of the user's own, or has layers that no weight format can express.
    """
    own = _known(model)
    block = own.spatial.blocks
    if own.class_token is not None or block.feed.activation != "gelu":
        raise errors.UserError(
            "weight formats hold encoders without class token and with gelu, got a spatial part as that "
            "of CLIP; use the stage's folder itself"
        )
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
        pooler = _pooler_sizes(model.video, config.num_heads, config.model_dim)
        return dataclasses.replace(config, kind="video_classifier", num_classes=classes, **pooler)
    if isinstance(model, video_encoder.FactorizedVideoEncoder):
        return config
    tower = model.video if isinstance(model, VideoText) else model
    more = _pooler_sizes(tower, config.num_heads, 4 * config.model_dim) | _auxiliary_sizes(tower, config)
    if isinstance(model, VideoText):
        return dataclasses.replace(config, kind="video_text", **more, **_text_sizes(model.text, config))
    return dataclasses.replace(config, kind="video_tower", **more)


def _known(model: Any) -> video_encoder.FactorizedVideoEncoder:
    """Return the encoder of a model whose towers are of the classes that weight formats know."""
    tower = model.video if isinstance(model, VideoText | VideoClassifier) else model
    others: list[Any] = [tower] if not isinstance(tower, video.VideoTower) else [tower.encoder]
    others += [model.text] if isinstance(model, VideoText) else []
    for each in others:
        if not isinstance(each, video_encoder.FactorizedVideoEncoder | text.TextTower):
            raise errors.UserError(
                f"weight formats hold video.VideoTower and text.TextTower, got {type(each).__name__}; use "
                "the stage's folder itself"
            )
    encoder: video_encoder.FactorizedVideoEncoder = others[0]
    return encoder


def _own(found: Any, usual: Any) -> Any:
    """Return a size of its own, or None where it is that of the release."""
    return None if found == usual else found


def _pooler_sizes(tower: video.VideoTower, heads: int, width: int) -> dict[str, Any]:
    if tower.pooler is None:
        raise errors.UserError("expected a tower with a pooler; save its encoder instead")
    _, own_heads, head_dim = tower.pooler.attention.query.w.shape
    return {"pooler_heads": _own(own_heads, heads), "pooler_dim": _own(own_heads * head_dim, width)}


def _auxiliary_sizes(tower: video.VideoTower, config: release_config.ReleaseConfig) -> dict[str, Any]:
    if tower.auxiliary is None:
        return {}
    block = tower.auxiliary.blocks
    if block.feed.activation != "gelu":
        raise errors.UserError(
            f"weight formats hold auxiliary layers with gelu, got {block.feed.activation}; use the stage's "
            "folder itself"
        )
    return {
        "num_auxiliary_layers": tower.auxiliary.count,
        "auxiliary_heads": _own(tower.auxiliary.heads, config.num_heads),
        "auxiliary_mlp_dim": _own(block.feed.inner.bias.shape[-1], config.mlp_dim),
        "auxiliary_logit_cap": _own(block.attention.logit_cap, config.atten_logit_cap),
        "auxiliary_norm_policy": _own(block.norm_policy, "pre"),
    }


def _text_sizes(tower: text.TextTower, config: release_config.ReleaseConfig) -> dict[str, Any]:
    block = tower.transformer.blocks
    return {
        "vocabulary_size": tower.vocabulary,
        "num_unimodal_layers": tower.transformer.count,
        "norm_policy": block.norm_policy,
        "video_norm_policy": _own(config.norm_policy, "pre"),
        "enable_causal_atten": tower.causal,
        "text_sines": tower.wavelengths,
        "text_dim": _own(tower.dim, config.model_dim),
        "text_heads": _own(tower.transformer.heads, config.num_heads),
        "text_logit_cap": _own(block.attention.logit_cap, config.atten_logit_cap),
    }
