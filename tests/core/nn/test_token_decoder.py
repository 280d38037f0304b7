"""The decoder lays visible tokens at their places, fills the rest, and adds positions in natural order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab.core import types
from prismlab.core.nn import token_decoder
from prismlab.core.train import masking
from prismlab.experiments.kit import mask_contract

BATCH, TOKENS, DIM = 2, 8, 4


@pytest.fixture(scope="module")
def built():
    return token_decoder.TokenDecoder(DIM, 3, TOKENS, tiny.SMALL["decoder"], key=jax.random.key(0))


def _seen(visible=0.5):
    place = mask_contract.draw(masking.BlockTube(visible), 2, 4, BATCH)(jax.random.key(1))
    return types.Tokens(jax.random.normal(jax.random.key(2), (*place.shape, DIM)), place)


@eqx.filter_jit
def _tail(built, x):
    return built.head(built.norm(built.transformer(x)))


def _by_hand(built, seen, order):
    """Return the decoder's output by loops over examples and slots."""
    rows = []
    for example in range(BATCH):
        full = np.tile(np.asarray(built.mask_token), (TOKENS, 1))
        projected = np.asarray(built.project(seen.x[example]))
        for token, place in zip(projected, np.asarray(seen.place[example])):
            full[place] = token
        rows.append(
            [full[source] + np.asarray(built.position[slot]) for slot, source in enumerate(order[example])]
        )
    return _tail(built, jnp.asarray(rows, jnp.float32))


@pytest.mark.parametrize(
    "visible",
    [pytest.param(0.01, marks=pytest.mark.long), 0.5, pytest.param(1.0, marks=pytest.mark.slow)],
)
def test_equals_loops(built, visible):
    seen = _seen(visible)
    random = np.random.default_rng(0)
    order = np.stack([random.permutation(TOKENS) for _ in range(BATCH)])
    got = jax.jit(lambda order: built(seen, order))(jnp.asarray(order, jnp.int32))
    assert got.shape == (BATCH, TOKENS, 3)
    np.testing.assert_allclose(got, _by_hand(built, seen, order), atol=1e-5)


def test_the_identity_permutation_changes_nothing(built):
    identity = jnp.tile(jnp.arange(TOKENS, dtype=jnp.int32), (BATCH, 1))
    permuted, plain = jax.jit(lambda seen: (built(seen, identity), built(seen)))(_seen())
    np.testing.assert_array_equal(permuted, plain)


def test_low_precision_tokens_stay_low(built):
    seen = _seen()
    low = types.Tokens(seen.x.astype(jnp.bfloat16), seen.place)
    assert jax.eval_shape(built, low).dtype == jnp.bfloat16
