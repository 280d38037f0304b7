"""The public VideoPrism models: built by their own field names, loaded from their own .npz files.

`core.release_table` says which array of the release is which field of ours.
"""

import functools
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from core import encoder, errors, keys, layers, presets, release_table, text, video


class VideoText(eqx.Module):
    """The public video-text model: both towers."""

    video: video.VideoTower
    text: text.TextTower


class VideoClassifier(eqx.Module):
    """The public classifier: a tower whose pooler has the encoder's width, then one linear map."""

    video: video.VideoTower
    projection: layers.Linear


Model = encoder.FactorizedVideoEncoder | VideoText | VideoClassifier

_VIDEO = {
    "patch_size",
    "pos_emb_shape",
    "model_dim",
    "num_spatial_layers",
    "num_temporal_layers",
    "num_heads",
    "mlp_dim",
}
_TEXT = {"vocabulary_size", "num_unimodal_layers"}
_REQUIRED = {
    "video_encoder": _VIDEO,
    "video_text": _VIDEO | _TEXT,
    "video_classifier": _VIDEO | {"num_classes"},
}
# The release's own defaults for fields that a configuration may leave out.
_OPTIONAL: dict[str, dict[str, Any]] = {
    "video_encoder": {"atten_logit_cap": 0.0, "norm_policy": "pre", "scan": False},
    "video_text": {
        "atten_logit_cap": 0.0,
        "norm_policy": "pre",
        "scan": False,
        "num_auxiliary_layers": 0,
        "enable_causal_atten": True,
    },
    "video_classifier": {"atten_logit_cap": 0.0, "norm_policy": "pre", "scan": False},
}


def _public(kind: str, size: presets.Size, frames: int) -> dict[str, Any]:
    config = {
        "kind": kind,
        "patch_size": 18,
        "pos_emb_shape": (frames, 16, 16),
        "model_dim": size.dim,
        "num_spatial_layers": size.spatial_layers,
        "num_temporal_layers": size.temporal_layers,
        "num_heads": size.heads,
        "mlp_dim": size.mlp_dim,
        "atten_logit_cap": 50.0,
        "scan": True,
    }
    if kind == "video_text":
        config |= {
            "vocabulary_size": 32_000,
            "num_unimodal_layers": size.text_layers,
            "num_auxiliary_layers": 2,
        }
    return config


CONFIGS = {
    "videoprism_public_v1_base": _public("video_encoder", presets.base(), 16),
    "videoprism_public_v1_large": _public("video_encoder", presets.large(), 8),
    "videoprism_lvt_public_v1_base": _public("video_text", presets.base(), 16),
    "videoprism_lvt_public_v1_large": _public("video_text", presets.large(), 8),
}


def _checked(config: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, str):
        if config not in CONFIGS:
            raise errors.UserError(f"released model must be one of {sorted(CONFIGS)}; got {config!r}.")
        config = CONFIGS[config]
    kind = config.get("kind")
    if kind not in _REQUIRED:
        raise errors.UserError(f"released model: kind must be one of {sorted(_REQUIRED)}; got {kind!r}.")
    given = set(config) - {"kind"}
    faults = [f"{kind}: field {name!r} is missing." for name in sorted(_REQUIRED[kind] - given)]
    known = _REQUIRED[kind] | set(_OPTIONAL[kind])
    faults += [f"{kind}: unknown field {name!r}; known: {sorted(known)}." for name in sorted(given - known)]
    if not faults and len(set(config["pos_emb_shape"][1:])) != 1:
        faults = [
            f"{kind}: pos_emb_shape must be (frames, side, side); got {tuple(config['pos_emb_shape'])}."
        ]
    if faults:
        raise errors.UserError("\n".join(faults))
    return {**_OPTIONAL[kind], **config}


def build(config: str | Mapping[str, Any], key: PRNGKeyArray, *, dtype: str = "float32") -> Model:
    """Build a public model with fresh weights.

    Args:
        config: a name in CONFIGS, or a mapping with `kind` ("video_encoder", "video_text",
            "video_classifier") and the release's own field names.
        key: a typed JAX key.
        dtype: of activations.

    Returns:
        The encoder, a VideoText or a VideoClassifier.

    Raises:
        UserError: for an unknown name or kind, missing or unknown fields.

    Source: public release, models.py.
    """
    full = _checked(config)
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
    place = (size, frames, side * full["patch_size"], full["patch_size"])
    policy = full["norm_policy"]
    video_key = keys.fold(key, "video")
    if kind == "video_encoder":
        return encoder.FactorizedVideoEncoder(*place, norm_policy=policy, **shared, key=video_key)
    if kind == "video_classifier":
        tower = video.VideoTower(*place, norm_policy=policy, pooler_dim=size.dim, **shared, key=video_key)
        return VideoClassifier(
            tower, layers.Linear(size.dim, full["num_classes"], key=keys.fold(key, "projection"))
        )
    return VideoText(
        video.VideoTower(
            *place, auxiliary_layers=full["num_auxiliary_layers"], norm_policy="pre", **shared, key=video_key
        ),
        text.TextTower(
            size,
            full["vocabulary_size"],
            norm_policy=policy,
            causal=full["enable_causal_atten"],
            **shared,
            key=keys.fold(key, "text"),
        ),
    )


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise errors.UserError(f"released weights: no file at {path}; download the .npz of this model first.")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a zip archive")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as fault:
        raise errors.UserError(
            f"released weights: {path} is not a plain .npz of arrays ({fault})."
        ) from fault


def load(config: str | Mapping[str, Any], path: str | pathlib.Path, *, dtype: str = "float32") -> Model:
    """Build a public model and fill it from a .npz of the release.

    Args:
        config: see `build`.
        path: the .npz file; names as in the release (`params/...`), nothing in it is unpickled.
        dtype: of activations; parameters are float32.

    Returns:
        The model, every parameter from the file.

    Raises:
        UserError: when the file cannot be read, or with one line for every array that is missing,
            unknown, of a wrong shape or not floating.
    """
    full = _checked(config)
    table = release_table.names(full["kind"], full["norm_policy"], bool(full.get("num_auxiliary_layers")))
    found = _read(pathlib.Path(path))
    empty = eqx.filter_eval_shape(lambda: build(full, jax.random.key(0), dtype=dtype))

    def field(model: Any, dotted: str) -> Any:
        return functools.reduce(getattr, dotted.split("."), model)

    wanted = {theirs: field(empty, ours) for theirs, ours in table.items()}
    assert len(wanted) == sum(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(empty))
    faults = [f"missing: {name} {wanted[name].shape}" for name in sorted(wanted.keys() - found.keys())]
    faults += [f"unknown: {name} {found[name].shape}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        if found[name].shape != wanted[name].shape:
            faults.append(f"wrong shape: {name} wanted {wanted[name].shape}, got {found[name].shape}")
        elif not np.issubdtype(found[name].dtype, np.floating):
            faults.append(f"not floating: {name} is {found[name].dtype}")
    if faults:
        header = f"released weights: {path} does not fit the configuration; check `kind` and the sizes."
        raise errors.UserError("\n".join([header, *faults]))
    values = [jnp.asarray(found[name], jnp.float32) for name in table]
    return eqx.tree_at(lambda model: [field(model, ours) for ours in table.values()], empty, values)


def _video_encoder(model: Model) -> encoder.FactorizedVideoEncoder:
    return model if isinstance(model, encoder.FactorizedVideoEncoder) else model.video.encoder


def _unit(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    # Always in float32: bfloat16 cannot hold a unit length.
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def encode_video(
    model: Model, video: Float[Array, "b t height width 3"], frame_paddings: Float[Array, "b t"] | None = None
) -> tuple[Float[Array, "b s d"], Float[Array, "b s d"]]:
    """Return a clip's tokens and its spatial features, frame by frame.

    Args:
        model: any public model.
        video: float [b, t, height, width, 3] in [0, 1].
        frame_paddings: 1.0 where a frame is padding.
    """
    tokens, spatial = _video_encoder(model).features(video, None, frame_paddings)
    return tokens.x, spatial


def embed(
    model: VideoText,
    video: Float[Array, "b t height width 3"] | None = None,
    text_token_ids: Int[Array, "c l"] | None = None,
    text_paddings: Float[Array, "c l"] | None = None,
    normalize: bool = True,
) -> tuple[Float[Array, "b d"] | None, Float[Array, "c d"] | None]:
    """Return the embeddings of clips and of captions, None for what was not given.

    Args:
        model: a video-text model.
        video: float [b, t, height, width, 3] in [0, 1].
        text_token_ids: int32 [c, l].
        text_paddings: float [c, l], 1.0 where padded; needed with text_token_ids.
        normalize: scale to unit length, in float32.

    Raises:
        UserError: for captions without paddings.
    """
    seen = read = None
    if video is not None:
        seen = model.video(video).pooled
    if text_token_ids is not None:
        if text_paddings is None:
            raise errors.UserError("embed: text_token_ids came without text_paddings; give both.")
        read = model.text(text_token_ids, text_paddings).pooled
    if normalize:
        seen, read = (None if x is None else _unit(x) for x in (seen, read))
    return seen, read


def frame_embeddings(
    model: VideoText, video: Float[Array, "b t height width 3"], normalize: bool = True
) -> Float[Array, "b t d"]:
    """Return one vector a frame: the contrastive pooler looks at each frame's tokens alone."""
    assert model.video.pooler is not None
    tokens = model.video.encoder(video).x
    if model.video.auxiliary is not None:
        tokens = model.video.auxiliary(tokens)
    b, t = video.shape[:2]
    pooled = model.video.pooler(tokens.reshape(b * t, -1, tokens.shape[-1])).reshape(b, t, -1)
    return _unit(pooled) if normalize else pooled


def classify(model: VideoClassifier, video: Float[Array, "b t height width 3"]) -> Float[Array, "b classes"]:
    """Return the logits of clips."""
    pooled = model.video(video).pooled
    assert pooled is not None
    return model.projection(pooled)
