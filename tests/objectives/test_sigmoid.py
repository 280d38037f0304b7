"""The sigmoid loss: one binary question for each pair, also with captions of past batches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, types
from prismlab.core.train import objective
from prismlab.objectives import sigmoid

DIMS = types.Dims(frames=1, patches=1, patch_values=3, video_dim=6, teacher_dim=6, text_dim=6)
CLIP, CAPTION = objective.View("video"), objective.View("text")
KEY = jax.random.key(0)


@eqx.filter_jit
def _compiled(own, clips, captions, batch):
    return own({CLIP: clips, CAPTION: captions}, batch, key=KEY)


def _call(own, seen, batch):
    return _compiled(own, seen[CLIP], seen[CAPTION], batch)


def _make(**options):
    return sigmoid.Sigmoid(**options, dims=DIMS, key=KEY)


def _case(seed, size=5):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(2, size, 6))
    ids = random.integers(1, 3, (size, 1))  # captions repeat
    weight = (random.random(size) < 0.8).astype(np.float32)
    weight[0] = 1.0
    batch = types.Batch(
        jnp.zeros((size, 1, 1, 1, 3)), jnp.asarray(ids, jnp.int32), jnp.zeros((size, 1)), jnp.asarray(weight)
    )
    seen = dict(zip((CLIP, CAPTION), (types.Encoded(None, jnp.asarray(x, jnp.float32)) for x in vectors)))
    return seen, batch, vectors, ids[:, 0], weight


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _loss(clips, captions, ids, weight, old=(), ignore=False, scale=4.0, bias=-2.0):
    """Equation 1 of SigLIP, pair by pair."""
    total = 0.0
    for i in np.flatnonzero(weight):
        for j in np.flatnonzero(weight):
            if ignore and i != j and ids[i] == ids[j]:
                continue
            sign = 1 if i == j else -1
            total += np.log1p(np.exp(-sign * (scale * _unit(clips)[i] @ _unit(captions)[j] + bias)))
        for other in old:
            total += np.log1p(np.exp(scale * _unit(clips)[i] @ other + bias))
    return total / weight.sum()


@given(st.integers(0, 999), st.booleans())
@settings(max_examples=10)
def test_it_equals_the_equation(seed, ignore):
    seen, batch, (clips, captions), ids, weight = _case(seed)
    own = _make(temperature=0.25, bias=-2.0, ignore_same_caption=ignore)
    loss, named = _call(own, seen, batch)
    np.testing.assert_allclose(loss.value, _loss(clips, captions, ids, weight, ignore=ignore), rtol=1e-4)
    np.testing.assert_allclose([named["temperature"].value, named["bias"].value], [0.25, -2.0], rtol=1e-5)


@given(st.integers(0, 999))
@settings(max_examples=10)
def test_clips_without_captions_are_left_out_and_do_not_enter_the_queue(seed):
    seen, batch, (clips, captions), ids, weight = _case(seed)
    silent = np.asarray([False, True, False, False, True])
    batch = eqx.tree_at(lambda own: own.text_paddings, batch, jnp.asarray(silent[:, None], jnp.float32))
    loss, _ = _call(_make(temperature=0.25, bias=-2.0), seen, batch)
    np.testing.assert_allclose(loss.value, _loss(clips, captions, ids, weight * ~silent), rtol=1e-4)
    own = _make(queue=5)
    after = own.advanced({}, own.observed(seen, batch), batch.weight, jnp.int32(0))
    np.testing.assert_array_equal(after.past.present, weight * ~silent)


def test_captions_of_past_batches_are_negatives_newest_first():
    own, old = _make(temperature=0.25, bias=-2.0, queue=8), []
    for seed in range(3):
        seen, batch, (clips, captions), ids, weight = _case(seed)
        loss, _ = _call(own, seen, batch)
        wanted = _loss(clips, captions, ids, weight, [row for row, there in old if there])
        np.testing.assert_allclose(loss.value, wanted, rtol=1e-4)
        own = own.advanced({}, own.observed(seen, batch), batch.weight, jnp.int32(seed))
        old = [*zip(_unit(captions), weight), *old][:8]
        np.testing.assert_array_equal(own.past.present[: len(old)], [there for _, there in old])


def test_what_cannot_work_is_refused():
    with pytest.raises(errors.UserError, match="temperature must be positive and finite"):
        _make(temperature=0.0)
    with pytest.raises(errors.UserError, match="batch_size=1; use 2 or more"):
        _make().check_batch(1)
    with pytest.raises(errors.UserError, match="queue of 4 entries is shorter than the batch of 5"):
        _make(queue=4).check_batch(5)
    with pytest.raises(errors.UserError, match="a queue must have at least 1 entry, got 0"):
        _make(queue=0)
    with pytest.raises(errors.UserError, match="video width 6 and text width 5 must be equal"):
        sigmoid.Sigmoid(dims=types.Dims(1, 1, 3, 6, 6, 5), key=KEY)
