"""Hypothesis strategies of what components are tested with: clips, batches, masks and towers.

They shrink towards the simplest case: black clips, empty captions, equal weights, one layer.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jaxtyping import UInt8

from prismlab.core import types
from prismlab.core.towers import presets, text, video, video_encoder
from prismlab.core.train import masking
from prismlab.experiments.kit import quick_towers

FRAMES, SIDE, PATCH, WORDS, VOCABULARY = 2, 8, 2, 5, 11
PATCHES = (SIDE // PATCH) ** 2
TOKENS = FRAMES * PATCHES
BATCH = 4  # one size: a program is compiled once

# Towers that compile at once, of the sizes above.
QUICK: Mapping[str, Callable[..., types.Tower]] = {
    "video": functools.partial(quick_towers.Patches, 8, FRAMES, SIDE, PATCH),
    "text": functools.partial(quick_towers.Words, 8, VOCABULARY),
}


@dataclasses.dataclass(frozen=True)
class DrawnBatch:
    """A batch in short: its fields are what hypothesis prints of the smallest failing case.

    Args:
        clips: one number an example; 0 is a black clip, another number is noise of that seed.
        captions: one number an example; 0 is an empty caption, another number is words of that seed.
        weights: one weight an example; 0.0 marks a padding example.
    """

    clips: tuple[int, ...]
    captions: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def batch(self) -> types.Batch:
        """The batch on the device."""
        words = [_caption(seed) for seed in self.captions]
        return types.Batch(
            video=jnp.asarray(np.stack([clip(seed) for seed in self.clips]), jnp.float32) / 255.0,
            text_ids=jnp.asarray(np.stack([ids for ids, _ in words])),
            text_paddings=jnp.asarray(np.stack([paddings for _, paddings in words])),
            weight=jnp.asarray(self.weights, jnp.float32),
            index=jnp.arange(len(self.clips), dtype=jnp.int32),
        )

    def with_others_at_padding(self, seed: int) -> "DrawnBatch":
        """Return the batch with other clips and captions in its padding examples.

        Args:
            seed: of the other clips and captions, at least 1.
        """
        other = lambda values: tuple(
            value if weight else seed + place
            for place, (value, weight) in enumerate(zip(values, self.weights))
        )
        return dataclasses.replace(self, clips=other(self.clips), captions=other(self.captions))


def clip(seed: int, frames: int = FRAMES, side: int = SIDE) -> UInt8[np.ndarray, "t r r 3"]:
    """Return a clip: black for 0, else noise of that seed.

    Args:
        seed: at least 0.
        frames: t.
        side: r, in pixels.
    """
    shape = (frames, side, side, 3)
    return (
        np.random.default_rng(seed).integers(0, 256, shape, np.uint8) if seed else np.zeros(shape, np.uint8)
    )


def _caption(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    length = int(random.integers(2, WORDS + 1)) if seed else 1
    paddings = (np.arange(WORDS) >= length).astype(np.float32)
    ids = random.integers(1, VOCABULARY, WORDS) if seed else np.ones(WORDS)
    return np.where(paddings > 0, 0, ids).astype(np.int32), paddings


def clips(frames: int = FRAMES, side: int = SIDE) -> st.SearchStrategy[UInt8[np.ndarray, "t r r 3"]]:
    """Return a strategy of clips: uint8 [frames, side, side, 3], black first, else noise."""
    return st.integers(0, 99).map(lambda seed: clip(seed, frames, side))


@st.composite
def batches(draw: Any, size: int = BATCH, paddings: bool | None = None) -> DrawnBatch:
    """Return a strategy of batches, as `DrawnBatch`.

    Args:
        draw: given by hypothesis.
        size: examples.
        paddings: True for at least one padding example and one other; False for none; None for any number of
            padding examples but all.
    """
    numbers = st.lists(st.integers(0, 99), min_size=size, max_size=size)
    weights = [1.0] * size
    if paddings is not False:
        fewest = 1 if paddings else 0
        places = draw(st.sets(st.integers(0, size - 1), min_size=fewest, max_size=size - 1))
        weights = [0.0 if place in places else 1.0 for place in range(size)]
    return DrawnBatch(tuple(draw(numbers)), tuple(draw(numbers)), tuple(weights))


def masks() -> st.SearchStrategy[masking.Mask]:
    """Return a strategy of masks that hide something and show something."""
    share = st.sampled_from([0.5, 0.35, 0.75])
    return st.one_of(share.map(masking.Tube), share.map(masking.BlockTube))


@st.composite
def towers(draw: Any) -> dict[str, Callable[..., types.Tower]]:
    """Return a strategy of constructors of small towers, as `recipe.Stage.towers` holds them.

    Args:
        draw: given by hypothesis.

    Returns:
        "video", and sometimes "text", of equal width: video.VideoTower (for clips of FRAMES and SIDE) and
        text.TextTower.
    """
    few = st.integers(1, 2)
    heads = draw(few)
    size = presets.Size(
        dim=2 * heads * draw(few), heads=heads, mlp_dim=draw(few), spatial_layers=draw(few),
        temporal_layers=draw(few), text_layers=draw(few),
    )  # fmt: skip
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder, size, FRAMES, SIDE, PATCH, remat="none", scan=False
    )
    has_text = draw(st.booleans())
    seen = functools.partial(video.VideoTower, encoder, use_pooler=has_text or draw(st.booleans()))
    read = functools.partial(text.TextTower, size, VOCABULARY, remat="none", scan=False)
    return {"video": seen, "text": read} if has_text else {"video": seen}
