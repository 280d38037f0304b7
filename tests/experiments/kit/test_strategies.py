"""What strategies draw fits together: towers encode drawn clips behind drawn masks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings

from prismlab.core.train import masking
from prismlab.experiments.kit import strategies


@settings(max_examples=5)
@given(made=strategies.towers(), mask=strategies.masks(), clip=strategies.clips())
def test_towers_encode_clips_behind_masks(made, mask, clip):
    def encode():
        towers = {name: make(key=jax.random.key(0)) for name, make in made.items()}
        pixels = jnp.asarray(clip, jnp.float32)[None] / 255.0
        shape = (strategies.FRAMES, strategies.PATCHES)
        place = masking.sample_batch(mask, 1, *shape, key=jax.random.key(0))
        return towers["video"](pixels, place, tube=mask.tube), towers

    seen, towers = eqx.filter_eval_shape(encode)
    count = mask.count(strategies.FRAMES, strategies.PATCHES)
    assert 0 < count < strategies.TOKENS
    assert seen.tokens.x.shape[:2] == (1, count)
    assert ("text" not in towers) or towers["text"].dim == seen.pooled.shape[-1]


@given(drawn=strategies.batches(paddings=True))
def test_batches_with_padding_also_hold_an_example_that_counts(drawn):
    assert {0.0, 1.0} == set(drawn.weights)
    assert drawn.batch.video.shape == (strategies.BATCH, strategies.FRAMES, *[strategies.SIDE] * 2, 3)
    assert np.asarray(drawn.batch.video).max() <= 1.0
