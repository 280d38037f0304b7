"""Public VideoPrism models: build, load and save weights, encode video, embed video and text, classify.

Model names are in `release_config`; `npz_names` and `hf_names` map array names to our fields.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.weights import (
    hf_names,
    matching,
    npz_names,
    release_config,
    release_models,
    weight_files,
    weight_formats,
)

# Public names that are re-exported here.
__all__ = ["CONFIGS", "Model", "VideoClassifier", "VideoText", "npz_names"]
CONFIGS = release_config.CONFIGS
Model = release_models.Model
VideoText = release_models.VideoText
VideoClassifier = release_models.VideoClassifier


def build(name_or_config: release_config.NameOrConfig, key: PRNGKeyArray, *, dtype: str = "float32") -> Model:
    """Build a public model with randomly initialized weights.

    Args:
        name_or_config: a preset's name or Hugging Face id (`release_config.CONFIGS`, `ALIASES`), or a mapping
            with `kind` ("video_encoder", "video_text", "video_classifier") and the release's field names.
        key: a typed JAX key.
        dtype: dtype of activations.

    Returns:
        The encoder, a VideoText or a VideoClassifier.

    Raises:
        UserError: for an unknown name or kind, or missing, unknown or invalid fields.

    Source: public release, models.py.
    """
    return release_models.build(name_or_config, key, dtype=dtype)


def load(
    name_or_config: release_config.NameOrConfig, weights: str | os.PathLike[str], *, dtype: str = "float32"
) -> Model:
    """Load a public model from a weight file.

    Args:
        name_or_config: see `build`.
        weights: path of an .npz of the release (names `params/...`); a .safetensors of Hugging Face, or the
            folder with its model.safetensors; a .bundle written by `save`; or a stage directory of a
            training run, from which the towers are loaded.
        dtype: dtype of activations; parameters are float32.

    Returns:
        The model, with all parameters from the file. If a .safetensors contains the text positions of
        transformers, which differ slightly from the release's, the text tower uses those
        and matches transformers.

    Raises:
        UserError: if the file cannot be read, or listing each array that is missing, unknown, of a wrong
            shape or not floating point, with the name of the preset that does fit.
    """
    full = release_config.checked(name_or_config)
    contents = weight_files.open_file(weights)
    empty = weight_formats.abstract(full, dtype)
    table = weight_formats.entries(contents.layout, full, empty)
    matching.require(full, table, contents)
    sines = matching.text_sines(full, contents)
    if sines is not None and sines != full.text_sines:
        empty = weight_formats.abstract(dataclasses.replace(full, text_sines=sines), dtype)
    model: Model = weight_formats.fill(empty, table, contents.read)
    return model


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Save a model to a weight file; loading it again is bitwise exact.

    Args:
        model: any public model.
        path: the suffix selects the weight format. `.npz`: the release's, for the official Flax code.
            `.safetensors`: Hugging Face's, with a config.json in the same folder (transformers requires
            the name model.safetensors). `.bundle`: one file that also contains the configuration. Files
            are written atomically.

    Raises:
        UserError: for another suffix, if the disk is full, or if config.json in the same folder belongs
            to a different model.
    """
    path = pathlib.Path(path)
    config = release_models.describe(model)
    known = {
        ".npz": weight_formats.RELEASE,
        ".safetensors": weight_formats.HUGGING_FACE,
        ".bundle": weight_formats.BUNDLE,
    }
    if path.suffix not in known:
        raise errors.UserError(f"save: expected a path that ends in one of {sorted(known)}; got {path}.")
    layout = known[path.suffix]
    metadata: dict[str, str] = {}
    if layout == weight_formats.HUGGING_FACE:
        beside, text = path.parent / "config.json", _pretty(hf_names.config_json(config))
        others = [each for each in path.parent.glob("*.safetensors") if each.name != path.name]
        if others and beside.is_file() and beside.read_text() != text:
            raise errors.UserError(
                f"save: {beside} belongs to {others[0].name}, a different model; choose another folder."
            )
        metadata = {"format": "pt"}  # required by transformers
        weight_files.write(path, layout, weight_formats.arrays(layout, config, model), metadata)
        filesystem.write_atomic(beside, text.encode())
        return
    if layout == weight_formats.BUNDLE:
        metadata = {"config": json.dumps(config.plain(), sort_keys=True)}
    weight_files.write(path, layout, weight_formats.arrays(layout, config, model), metadata)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _unit(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    # Always in float32: bfloat16 is too coarse for unit length.
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def encode_video(
    model: Model, video: Float[Array, "b t height width 3"], frame_paddings: Float[Array, "b t"] | None = None
) -> tuple[Float[Array, "b s d"], Float[Array, "b s d"]]:
    """Encode clips with the video encoder; return the tokens and the spatial features.

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
    """Embed clips and captions in the shared space; None for an input that is not given.

    Args:
        model: a video-text model.
        video: float [b, t, height, width, 3] in [0, 1].
        text_token_ids: int32 [c, l].
        text_paddings: float [c, l], 1.0 where padded; required with text_token_ids.
        normalize: scale to unit length, in float32.

    Raises:
        UserError: if text_token_ids are given without text_paddings.
    """
    seen = read = None
    if video is not None:
        seen = model.video(video).pooled
    if text_token_ids is not None:
        if text_paddings is None:
            raise errors.UserError("embed: got text_token_ids without text_paddings; pass both.")
        read = model.text(text_token_ids, text_paddings).pooled
    if normalize:
        seen, read = (None if x is None else _unit(x) for x in (seen, read))
    return seen, read


def frame_embeddings(
    model: VideoText, video: Float[Array, "b t height width 3"], normalize: bool = True
) -> Float[Array, "b t d"]:
    """Return one embedding per frame: the contrastive pooler applied to each frame's tokens."""
    assert model.video.pooler is not None
    tokens = model.video.encoder(video).x
    if model.video.auxiliary is not None:
        tokens = model.video.auxiliary(tokens)
    b, t = video.shape[:2]
    pooled = model.video.pooler(tokens.reshape(b * t, -1, tokens.shape[-1])).reshape(b, t, -1)
    return _unit(pooled) if normalize else pooled


def classify(model: VideoClassifier, video: Float[Array, "b t height width 3"]) -> Float[Array, "b classes"]:
    """Return the class logits of clips."""
    pooled = model.video(video).pooled
    assert pooled is not None
    return model.projection(pooled)
