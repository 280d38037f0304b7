"""Embed clips and text with a released model.

Clips are embedded one at a time, so that a vector does not depend on the other clips of a batch.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prismlab.core import errors
from prismlab.core.nn import losses
from prismlab.core.towers import video_encoder
from prismlab.core.weights import released
from prismlab.experiments.released import released_weights

Embed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def kind_of_vector(model: released.Model) -> str:
    """Return a description of the vectors of a model; differing descriptions mean incomparable vectors."""
    if isinstance(model, released.VideoText):
        return "unit-length output of the contrastive pooler, comparable with texts"
    if isinstance(model, released.VideoClassifier):
        return "output of the classifier's pooler, not of unit length"
    return "mean of the encoder's tokens (this model has no pooler), not of unit length"


def embedder(model: released.Model, tokens: bool) -> Embed:
    """Return a function that maps a clip to its vector and, optionally, its token features.

    Args:
        model: a released model.
        tokens: whether to return the tokens of the encoder, [t * n, d], frame by frame; otherwise None.

    Returns:
        uint8 [t, r, r, 3] -> (float32 [d], float32 [t * n, d] or None).
    """
    arrays, static = eqx.partition(model, eqx.is_array)

    @jax.jit
    def run(arrays: released.Model, clip: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        model = eqx.combine(arrays, static)
        encoded = released_weights.tower_of(model)(clip[None].astype(jnp.float32) / 255.0)
        assert encoded.tokens is not None
        features = encoded.tokens.x.astype(jnp.float32)
        vector = features.mean(1) if encoded.pooled is None else encoded.pooled
        if isinstance(model, released.VideoText):
            vector = losses.normalise(vector)
        return vector[0].astype(jnp.float32), features[0] if tokens else None

    def embed(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        vector, features = run(arrays, clip)
        return np.asarray(vector), None if features is None else np.asarray(features)

    return embed


def sizes(model: released.Model, frames: int | None, resolution: int | None) -> tuple[int, int]:
    """Return the number of frames and the resolution, with the defaults of the model.

    Args:
        model: a released model.
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


def texts(model: released.Model, ids: np.ndarray, paddings: np.ndarray) -> np.ndarray:
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
        what = "an encoder" if isinstance(model, video_encoder.FactorizedVideoEncoder) else "a classifier"
        raise errors.UserError(f"search needs a video-text model (lvt), got {what}: it has no text tower")
    if ids.max(initial=0) >= model.text.vocabulary:
        raise errors.UserError(
            f"expected token ids below the vocabulary size {model.text.vocabulary}, got {ids.max()}; "
            "use the tokenizer that the model was trained with"
        )
    read = eqx.filter_jit(lambda m, i, p: released.embed(m, None, i, p)[1])(
        model, jnp.asarray(ids), jnp.asarray(paddings)
    )
    return np.asarray(read)
