"""Latent prediction: absolute error to the normalized tokens of the average, on hidden places only."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick_towers
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.nn import losses
from prismlab.core.train import learner, masking
from prismlab.objectives import latent

KEY = jax.random.key(0)
TOWER = functools.partial(
    quick_towers.Patches, dim=8, frames=tiny.FRAMES, resolution=tiny.SIDE, patch=tiny.PATCH
)


@pytest.fixture(scope="module")
def tree():
    make = functools.partial(latent.LatentPrediction, mask=tiny.MASK, decay=0.5, **tiny.SMALL)
    return learner.build({"video": TOWER}, {"latent": make}, None, key=KEY)


def test_it_equals_the_formula(tree):
    batch = tiny.batch()

    @eqx.filter_jit
    def computed(tree):
        other = TOWER(key=jax.random.key(9))  # an average that differs from the tower
        own = tree.objectives["latent"].started({"video": other})
        seen = tree.seen(batch, None, key=KEY)
        student = seen[next(iter(own.views()))].tokens
        loss, _ = own(seen, batch, key=KEY)
        return own.decoder(student), other(batch.video).tokens.x, student.place, loss.value

    guess, target, place, loss = (np.asarray(each) for each in computed(tree))
    guess, target = guess.astype(np.float64), target.astype(np.float64)
    target = (target - target.mean(-1, keepdims=True)) / np.sqrt(target.var(-1, keepdims=True) + 1e-5)
    hidden = np.ones((4, tiny.TOKENS), bool)
    hidden[np.arange(4)[:, None], place] = False
    np.testing.assert_allclose(loss, np.abs(guess - target).mean(-1)[hidden].mean(), atol=1e-5)


def test_the_average_begins_as_the_tower_and_owns_its_arrays(tree):
    own = tree.objectives["latent"].average.towers["video"]
    for mine, theirs in zip(jax.tree.leaves(own), jax.tree.leaves(tree.towers["video"]), strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert not isinstance(mine, jax.Array) or mine is not theirs  # the step takes over both buffers


def test_a_mask_that_hides_nothing_and_a_missing_tower_are_refused(tree):
    towers = {"video": TOWER}
    make = functools.partial(latent.LatentPrediction, mask=masking.Tube(1.0), **tiny.SMALL)
    with pytest.raises(errors.UserError, match="this mask hides none"):
        learner.build(towers, {"latent": make}, None, key=KEY)
    with pytest.raises(
        errors.UserError, match=r"a moving average needs the tower 'video'; .* hold \['text'\]"
    ):
        tree.objectives["latent"].started({"text": tree.towers["video"]})


@given(st.integers(0, 999), st.sampled_from([2, 5, 9]))
@settings(max_examples=20)
def test_error_and_normalization_equal_numpy(seed, width):
    random = np.random.default_rng(seed)
    guess, x = (random.normal(random.normal(), 3.0, (2, 3, width)) for _ in range(2))
    wanted = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    target = losses.standardise(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(target, wanted, atol=1e-3)
    error = losses.absolute_error(jnp.asarray(guess, jnp.float32), jnp.asarray(wanted, jnp.float32))
    np.testing.assert_allclose(error, np.abs(guess - wanted).mean(-1), rtol=1e-4)
