"""Mixed clips and targets agree with each other, and a placeholder enters nobody."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.experiments.tasks.heads import mixup

B = 6
# Each clip holds its own number everywhere, so that a mixed clip tells what it is made of.
VIDEO = jnp.broadcast_to(jnp.arange(B, dtype=jnp.float32)[:, None, None, None, None], (B, 2, 20, 20, 3))
TARGETS, ONES = jnp.eye(B), jnp.ones(B)
mixers = pytest.mark.parametrize("mix", [mixup.Mixup(), mixup.Cutmix()], ids=["mixup", "cutmix"])


@functools.cache
def compiled(mix):
    return jax.jit(lambda video, weight, seed: mix(video, TARGETS, weight, key=jax.random.key(seed)))


@mixers
def test_targets_hold_the_share_of_the_pixels(mix):
    for seed in range(4):
        video, targets = compiled(mix)(VIDEO, ONES, seed)
        np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
        held = targets @ jnp.arange(B, dtype=jnp.float32)
        np.testing.assert_allclose(video.mean(axis=(1, 2, 3, 4)), held, rtol=1e-5, atol=1e-5)
        assert np.all(np.asarray(video[:, 0] == video[:, 1]))
    assert float(jnp.abs(targets - TARGETS).max()) > 0.01


@mixers
def test_a_placeholder_is_mixed_into_nobody(mix):
    weight = ONES.at[2].set(0.0)
    video, targets = compiled(mix)(VIDEO, weight, 1)
    other, _ = compiled(mix)(VIDEO.at[2].set(jnp.nan), weight, 1)
    np.testing.assert_allclose(targets[3], TARGETS[3], rtol=1e-5)
    np.testing.assert_allclose(video[3], VIDEO[3], rtol=1e-5)
    assert np.all(np.isfinite(np.asarray(other))[np.asarray(weight) > 0])


@mixers
def test_mixing_repeats_with_its_key(mix):
    one, two = (compiled(mix)(VIDEO, ONES, 3)[0] for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, compiled(mix)(VIDEO, ONES, 4)[0])


@pytest.mark.parametrize("kind", [mixup.Mixup, mixup.Cutmix])
def test_a_distribution_that_is_none_is_refused(kind):
    with pytest.raises(ValueError, match="above 0"):
        kind(alpha=0.0)
