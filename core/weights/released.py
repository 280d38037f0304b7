"""Public VideoPrism models: build, load and save weights, encode video, embed video and text, classify.

Model names are in `release_config`; `npz_names` and `hf_names` map array names to our fields.
"""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

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
REMAT = release_models.REMAT
# Clips: floats in [0, 1], or uint8; other dtypes are refused by name (`_pixels`).
Clips = Shaped[Array | np.ndarray, "b t height width 3"]


def build(
    name_or_config: release_config.NameOrConfig,
    key: PRNGKeyArray,
    *,
    dtype: str = "float32",
    remat: str = REMAT,
) -> Model:
    """Build a public model with randomly initialized weights.

    Args:
        name_or_config: a preset's name or Hugging Face id (`release_config.CONFIGS`, `ALIASES`), or a mapping
            with `kind` ("video_encoder", "video_text", "video_classifier") and the release's field names.
        key: a typed JAX key.
        dtype: dtype of activations.
        remat: what the forward pass keeps for gradients, a name of `transformer_stack.REMAT_POLICIES`. By
            default nothing; with "none" a training step computes no layer again and needs more memory.

    Returns:
        The encoder, a VideoText or a VideoClassifier.

    Raises:
        UserError: for an unknown name or kind, or missing, unknown or invalid fields.

    Source: public release, models.py.
    """
    return release_models.build(name_or_config, key, dtype=dtype, remat=remat)


def load(
    name_or_config: release_config.NameOrConfig,
    weights: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    remat: str = REMAT,
) -> Model:
    """Load a public model from a weight file.

    Args:
        name_or_config: see `build`.
        weights: path of an .npz of the release (names `params/...`); a .safetensors of Hugging Face, or the
            folder with its model.safetensors; a .bundle written by `save`; or a stage directory of a
            training run, from which the towers are loaded.
        dtype: dtype of activations; parameters are float32.
        remat: see `build`.

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
    empty = weight_formats.abstract(full, dtype, remat)
    table = weight_formats.entries(contents.layout, full, empty)
    matching.require(full, table, contents)
    sines = matching.text_sines(full, contents)
    if sines is not None and sines != full.text_sines:
        empty = weight_formats.abstract(dataclasses.replace(full, text_sines=sines), dtype, remat)
    model: Model = weight_formats.fill(empty, table, contents.read)
    return model


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a model to a weight file; loading it again is bitwise exact.

    Args:
        model: any public model, or the towers of a recipe.
        path: the suffix selects the weight format. `.npz`: the release's, for the official Flax code; with
            sizes of no preset, NAME.json of the sizes is written beside it. `.safetensors`: Hugging Face's,
            with a config.json in the same folder if transformers can build the model (it requires the
            name model.safetensors). `.bundle`: one file that also contains the configuration. Files are
            written atomically.

    Raises:
        UserError: for another suffix or a tower of another class, if the disk is full, or if the file of
            sizes in the same folder belongs to a different model.
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
    arrays = weight_formats.arrays(layout, config, model)
    told = {"config": json.dumps(config.plain(), sort_keys=True)}
    if layout == weight_formats.BUNDLE:
        weight_files.write(path, layout, arrays, told)
        return
    if layout == weight_formats.HUGGING_FACE:
        beside, text = path.parent / "config.json", None
        if config.is_of_release:
            text = _pretty(hf_names.config_json(config))
        others = [each for each in path.parent.glob("*.safetensors") if each.name != path.name]
        if (others or text is None) and beside.is_file() and beside.read_text(encoding="utf-8") != text:
            raise errors.UserError(
                f"save: {beside} belongs to {others[0].name if others else 'another model'}, a different "
                "model; choose another folder."
            )
        metadata = {"format": "pt"}  # required by transformers
        weight_files.write(path, layout, arrays, metadata | told)
    else:
        beside, text = path.with_suffix(".json"), None
        if config not in map(release_config.checked, release_config.CONFIGS):
            text = _pretty(config.plain())
            if beside.is_file() and not _same_sizes(beside, config):
                raise errors.UserError(
                    f"save: {beside} holds other sizes than {path.name}; choose another name."
                )
        weight_files.write(path, layout, arrays)
    if text is not None:
        filesystem.write_atomic(beside, text.encode())


def _same_sizes(path: pathlib.Path, config: release_config.ReleaseConfig) -> bool:
    try:
        return release_config.checked(json.loads(path.read_text(encoding="utf-8"))) == config
    except (OSError, ValueError, AttributeError):
        return False


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _unit(x: Float[Array, "*rows d"]) -> Float[Array, "*rows d"]:
    # Always in float32: bfloat16 is too coarse for unit length.
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def _pixels(video: Clips) -> Float[Array, "b t height width 3"]:
    """Return clips as floats in [0, 1]: uint8 is divided by 255, other ranges are refused.

    Raises:
        UserError: integers that are not uint8, or floats outside [0, 1] (not checked while tracing).
    """
    if video.dtype == np.uint8:
        return jnp.asarray(video, jnp.float32) / 255.0
    if not jnp.issubdtype(video.dtype, jnp.floating):
        raise errors.UserError(f"video: expected floats in [0, 1] or uint8 in [0, 255], got {video.dtype}")
    if not isinstance(video, jax.core.Tracer) and video.size:
        seen = np.asarray(video)  # outside JAX: a closed-over clip is checked while its function is traced
        low, high = float(seen.min()), float(seen.max())
        # Resizing filters overshoot a little; pixels in [0, 255] or [-1, 1] are far outside.
        if not -0.25 <= low <= high <= 1.25:
            raise errors.UserError(
                f"video: expected floats in [0, 1], got {low:.4g} to {high:.4g}; divide by 255, or pass uint8"
            )
    return jnp.asarray(video)


def encode_video(
    model: Model, video: Clips, frame_paddings: Float[Array, "b t"] | None = None
) -> tuple[Float[Array, "b s d"], Float[Array, "b s d"]]:
    """Encode clips with the video encoder; return the tokens and the spatial features.

    Args:
        model: any public model.
        video: float [b, t, height, width, 3] in [0, 1], or uint8 in [0, 255].
        frame_paddings: 1.0 where a frame is padding.
    """
    encoder = release_models.encoder_of(model)
    tokens, spatial = encoder.features(_pixels(video), None, frame_paddings)
    return tokens.x, spatial


def embed(
    model: VideoText,
    video: Clips | None = None,
    text_token_ids: Int[Array, "c l"] | None = None,
    text_paddings: Float[Array, "c l"] | None = None,
    normalize: bool = True,
) -> tuple[Float[Array, "b d"] | None, Float[Array, "c d"] | None]:
    """Embed clips and captions in the shared space; None for an input that is not given.

    Args:
        model: a video-text model.
        video: float [b, t, height, width, 3] in [0, 1], or uint8 in [0, 255].
        text_token_ids: int32 [c, l].
        text_paddings: float [c, l], 1.0 where padded; required with text_token_ids.
        normalize: scale to unit length, in float32.

    Raises:
        UserError: if text_token_ids are given without text_paddings.
    """
    seen = read = None
    if video is not None:
        seen = model.video(_pixels(video)).pooled
    if text_token_ids is not None:
        if text_paddings is None:
            raise errors.UserError("embed: got text_token_ids without text_paddings; pass both.")
        read = model.text(text_token_ids, text_paddings).pooled
    if normalize:
        seen, read = (None if x is None else _unit(x) for x in (seen, read))
    return seen, read


def frame_embeddings(model: VideoText, video: Clips, normalize: bool = True) -> Float[Array, "b t d"]:
    """Return one embedding per frame: the contrastive pooler applied to each frame's tokens."""
    assert model.video.pooler is not None
    tokens = model.video.encoder(_pixels(video)).x
    if model.video.auxiliary is not None:
        tokens = model.video.auxiliary(tokens)
    b, t = video.shape[:2]
    pooled = model.video.pooler(tokens.reshape(b * t, -1, tokens.shape[-1])).reshape(b, t, -1)
    return _unit(pooled) if normalize else pooled


def classify(model: VideoClassifier, video: Clips) -> Float[Array, "b classes"]:
    """Return the class logits of clips."""
    pooled = model.video(_pixels(video)).pooled
    assert pooled is not None
    return model.projection(pooled)
