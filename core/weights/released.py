"""The public VideoPrism models: built by their own field names, loaded, run, and saved for other tools.

Names of models are in `release_config`; `npz_names` and `hf_names` say which array of
a file is which field of ours.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors
from prismlab.core.io import atomic
from prismlab.core.weights import (
    hf_names,
    matching,
    npz_names,
    release_config,
    release_models,
    weight_files,
    weight_formats,
)

# What this module is known by elsewhere.
__all__ = ["CONFIGS", "Model", "VideoClassifier", "VideoText", "npz_names"]
CONFIGS = release_config.CONFIGS
Model = release_models.Model
VideoText = release_models.VideoText
VideoClassifier = release_models.VideoClassifier


def build(name_or_config: str | Mapping[str, Any], key: PRNGKeyArray, *, dtype: str = "float32") -> Model:
    """Build a public model with fresh weights.

    Args:
        name_or_config: a preset's name or Hugging Face id (`release_config.CONFIGS`, `ALIASES`), or a mapping
            with `kind` ("video_encoder", "video_text", "video_classifier") and the release's field names.
        key: a typed JAX key.
        dtype: of activations.

    Returns:
        The encoder, a VideoText or a VideoClassifier.

    Raises:
        UserError: for an unknown name or kind, missing, unknown or impossible fields.

    Source: public release, models.py.
    """
    return release_models.build(name_or_config, key, dtype=dtype)


def load(
    name_or_config: str | Mapping[str, Any], weights: str | os.PathLike, *, dtype: str = "float32"
) -> Model:
    """Build a public model and fill it from a file.

    Args:
        name_or_config: see `build`.
        weights: an .npz of the release (names `params/...`); a .safetensors of Hugging Face, or the folder
            with its model.safetensors; a .bundle that `save` wrote; or a stage's folder of a training run,
            of which the towers are taken.
        dtype: of activations; parameters are float32.

    Returns:
        The model, every parameter from the file. From a .safetensors that holds the text positions of
        transformers, which differ from the release's by a little, the text tower is an EvenSinesTextTower
        and gives what transformers gives.

    Raises:
        UserError: when the file cannot be read, or with one line for every array that is missing, unknown,
            of a wrong shape or not floating, and the name of the preset that the file does fit.
    """
    full = release_config.checked(name_or_config)
    contents = weight_files.open_file(weights)
    empty = weight_formats.abstract(full, dtype)
    table = weight_formats.entries(contents.layout, full, empty)
    matching.require(full, table, contents)
    sines = matching.text_sines(full, contents)
    if sines is not None and sines != full["text_sines"]:
        empty = weight_formats.abstract({**full, "text_sines": sines}, dtype)
    return weight_formats.fill(empty, table, contents.read)


def save(model: Model, path: str | os.PathLike) -> None:
    """Write a model for other tools; loading it again gives the same bits.

    Args:
        model: any public model.
        path: `.npz` writes the release's layout, which the official Flax code loads; `.safetensors` the one
            of Hugging Face, with config.json beside it (transformers wants the file to be called
            model.safetensors and finds the rest itself); `.bundle` one file of ours that also holds the
            configuration. Files are written whole or not at all.

    Raises:
        UserError: for another ending, when the disk is full, or when config.json belongs to another model
            whose weights lie in the same folder.
    """
    path = pathlib.Path(path)
    config = release_config.checked(release_models.describe(model))
    known = {
        ".npz": weight_formats.RELEASE,
        ".safetensors": weight_formats.HUGGING_FACE,
        ".bundle": weight_formats.BUNDLE,
    }
    if path.suffix not in known:
        raise errors.UserError(f"save: wanted a path that ends in one of {sorted(known)}; got {path}.")
    layout = known[path.suffix]
    metadata: dict[str, str] = {}
    if layout == weight_formats.HUGGING_FACE:
        beside, text = path.parent / "config.json", _pretty(hf_names.config_json(config))
        others = [each for each in path.parent.glob("*.safetensors") if each.name != path.name]
        if others and beside.is_file() and beside.read_text() != text:
            raise errors.UserError(
                f"save: {beside} belongs to {others[0].name}, a model of another shape; give another folder."
            )
        metadata = {"format": "pt"}  # transformers refuses a file that does not say so
        weight_files.write(path, layout, weight_formats.arrays(layout, config, model), metadata)
        atomic.write_atomic(beside, text.encode())
        return
    if layout == weight_formats.BUNDLE:
        metadata = {"config": json.dumps(config, sort_keys=True)}
    weight_files.write(path, layout, weight_formats.arrays(layout, config, model), metadata)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


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
    tokens, spatial = release_models.encoder_of(model).features(video, None, frame_paddings)
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
