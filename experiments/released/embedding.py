"""Embed clips and text with a released model or a trained stage.

Clips are embedded one at a time, so that a vector does not depend on the other clips of a batch.
"""

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from prismlab.core import errors
from prismlab.core.nn import losses
from prismlab.core.towers import video, video_encoder
from prismlab.core.weights import released
from prismlab.data.video import listing, windows
from prismlab.experiments.released import released_weights

Embed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def kind_of_vector(model: Any) -> str:
    """Return a description of the vectors of a model; differing descriptions mean incomparable vectors."""
    if isinstance(model, released.VideoText):
        return "unit-length output of the contrastive pooler, comparable with texts"
    if isinstance(model, released.VideoClassifier):
        return "output of the classifier's pooler, not of unit length"
    if isinstance(model, video_encoder.FactorizedVideoEncoder):
        return "mean of the encoder's tokens (this model has no pooler), not of unit length"
    if isinstance(model, video.VideoTower):
        return "output of the tower's pooler, not of unit length"
    return f"vector of {type(model).__name__}, or the mean of its tokens if it gives none, not of unit length"


def embedder(model: Any, tokens: bool) -> Embed:
    """Return a function that maps a clip to its vector and, optionally, its token features.

    Args:
        model: a released model, or a tower of clips (`released_weights.tower_of`).
        tokens: whether to return the tokens of the encoder, [t * n, d], frame by frame; otherwise None.

    Returns:
        uint8 [t, r, r, 3] -> (float32 [d], float32 [t * n, d] or None).
    """
    arrays, static = eqx.partition(model, eqx.is_array)

    @jax.jit
    def run(arrays: Any, clip: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        model = eqx.combine(arrays, static)
        encoded = released_weights.tower_of(model)(clip[None].astype(jnp.float32) / 255.0)
        vector, features = encoded.pooled, None
        if tokens or vector is None:
            if encoded.tokens is None:
                raise errors.UserError(
                    f"{type(model).__name__} gives no tokens; embed without --tokens, with a tower that "
                    "gives a pooled vector"
                )
            features = encoded.tokens.x.astype(jnp.float32)
            vector = features.mean(1) if vector is None else vector
        if isinstance(model, released.VideoText):
            vector = losses.normalise(vector)
        return vector[0].astype(jnp.float32), features[0] if tokens and features is not None else None

    def embed(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        vector, features = run(arrays, clip)
        return np.asarray(vector), None if features is None else np.asarray(features)

    return embed


def embed_videos(
    model: Any, *videos: str | os.PathLike[str], frames: int | None = None, resolution: int | None = None
) -> Iterator[tuple[pathlib.Path, Float[np.ndarray, " d"]]]:
    """Yield the path and the vector of each video, as `prismlab embed` computes it.

    Args:
        model: see `embedder`; `prismlab.load` gives one.
        videos: files, folders or glob patterns, see `listing.find`.
        frames: frames of a clip; None for the model's.
        resolution: side of a frame in pixels; None for the model's.

    Raises:
        UserError: an argument matches no file, or a file cannot be read.
    """
    files, nothing = listing.find([os.fspath(each) for each in videos])
    if nothing:
        raise errors.UserError("\n".join(f"{word}: {reason}" for word, reason in nothing))
    embed = embedder(model, tokens=False)
    for path in files:
        for _, clip in windows.read(path, *sizes(model, frames, resolution), None):
            yield path, embed(clip)[0]


def sizes(model: Any, frames: int | None, resolution: int | None) -> tuple[int, int]:
    """Return the number of frames and the resolution, with the defaults of the model.

    Args:
        model: see `embedder`.
        frames: number of frames, or None; position embeddings are interpolated if it differs from the model.
        resolution: side of a frame in pixels, or None.

    Raises:
        UserError: fewer than one frame, or a resolution that is not a multiple of the patch size.
    """
    tower = released_weights.tower_of(model)
    frames = tower.frames if frames is None else frames
    resolution = tower.resolution if resolution is None else resolution
    if frames < 1:
        raise errors.UserError(f"--frames must be at least 1, got {frames}")
    if resolution < tower.patch or resolution % tower.patch:
        raise errors.UserError(
            f"--resolution must be a multiple of the patch, {tower.patch}; got {resolution}"
        )
    return frames, resolution


def texts(model: Any, ids: np.ndarray, paddings: np.ndarray) -> np.ndarray:
    """Return the unit-length text embeddings.

    Args:
        model: a released video-text model.
        ids: int32 [q, l].
        paddings: float32 [q, l], 1 at padding.

    Returns:
        float32 [q, d].

    Raises:
        UserError: the model has no text tower, or an id is outside its vocabulary.
    """
    if not isinstance(model, released.VideoText):
        raise errors.UserError(
            "search needs a model of video and text (lvt, or a stage with a text tower and a pooler), got a "
            f"{type(model).__name__}: it has no text tower"
        )
    if ids.max(initial=0) >= model.text.vocabulary:
        raise errors.UserError(
            f"expected token ids below the vocabulary size {model.text.vocabulary}, got {ids.max()}; "
            "use the tokenizer that the model was trained with"
        )
    read = eqx.filter_jit(lambda m, i, p: released.embed(m, None, i, p)[1])(
        model, jnp.asarray(ids), jnp.asarray(paddings)
    )
    return np.asarray(read)
