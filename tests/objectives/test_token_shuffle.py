"""Token shuffling: true permutations, one an example, and targets in natural order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import types
from prismlab.core.train import masking, objective
from prismlab.experiments.kit import mask_contract
from prismlab.objectives import masked, token_shuffle

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 6)
KEY = jax.random.key(0)
MASK = masking.BlockTube(0.35)


DRAW = jax.jit(
    lambda batch, tokens, key: token_shuffle.permutations(batch, tokens, key=key), static_argnums=(0, 1)
)


@given(st.integers(0, 999), st.sampled_from([(1, 5), (3, 8)]))
def test_rows_are_permutations_that_depend_on_their_index_alone(seed, shape):
    order = np.asarray(DRAW(*shape, jax.random.key(seed)))
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(shape[1]), (shape[0], 1)))
    more = DRAW(shape[0] + 2, shape[1], jax.random.key(seed))
    np.testing.assert_array_equal(more[: shape[0]], order)


def test_examples_and_steps_get_different_orders():
    rows = [np.asarray(token_shuffle.permutations(4, 16, key=jax.random.key(seed))) for seed in (0, 1)]
    assert len({row.tobytes() for row in np.concatenate(rows)}) == 8


def test_every_order_is_about_equally_likely():
    order = np.asarray(token_shuffle.permutations(3000, 3, key=KEY))
    counts = np.unique(order, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert counts.min() > 400
    assert counts.max() < 600


@pytest.fixture(scope="module")
def setting():
    built = token_shuffle.TokenShuffle(mask=MASK, **tiny.SMALL, dims=DIMS, key=KEY)
    place = mask_contract.draw(MASK, tiny.FRAMES, tiny.PATCHES, 4)(jax.random.key(1))
    tokens = types.Tokens(jax.random.normal(jax.random.key(2), (*place.shape, 8)), place)
    everywhere = jnp.broadcast_to(jnp.arange(tiny.TOKENS, dtype=jnp.int32), (4, tiny.TOKENS))
    target = types.Tokens(jax.random.normal(jax.random.key(3), (4, tiny.TOKENS, 6)), everywhere)
    seen = {
        objective.View("video", mask=MASK): types.Encoded(tokens, None),
        objective.View("video", teacher=True): types.Encoded(target, None),
    }
    return built, seen, tiny.batch()


def test_unshuffled_it_is_masked_modelling(setting, monkeypatch):
    built, seen, batch = setting
    plain = masked.MaskedModeling(mask=MASK, **tiny.SMALL, dims=DIMS, key=KEY)
    wanted = plain(seen, batch, key=KEY)[0].value
    shuffled = built(seen, batch, key=KEY)[0].value
    assert abs(float(shuffled - wanted)) > 1e-5
    identity = lambda batch, tokens, **_: jnp.tile(jnp.arange(tokens, dtype=jnp.int32), (batch, 1))
    monkeypatch.setattr(token_shuffle, "permutations", identity)
    np.testing.assert_allclose(built(seen, batch, key=KEY)[0].value, wanted, atol=1e-6)


def test_slot_i_is_compared_with_token_i_of_the_teacher(setting):
    built, seen, batch = setting
    student, teacher = (seen[view].tokens for view in sorted(seen, key=lambda view: view.teacher))
    guess = built.decoder(student, token_shuffle.permutations(4, tiny.TOKENS, key=KEY))
    # A teacher that says what the decoder says, slot by slot, leaves no loss; another order does.
    view = objective.View("video", teacher=True)
    same = {**seen, view: types.Encoded(types.Tokens(2.0 * guess, teacher.place), None)}
    assert float(built(same, batch, key=KEY)[0].value) == pytest.approx(0.0, abs=1e-5)
    moved = {**seen, view: types.Encoded(types.Tokens(jnp.roll(guess, 1, axis=1), teacher.place), None)}
    assert float(built(moved, batch, key=KEY)[0].value) > 1e-3
