"""Global distillation: zero where the prediction points the teacher's way, and blind to order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab.core import types
from prismlab.core.train import masking, objective
from prismlab.experiments.kit import mask_contract
from prismlab.objectives import global_distillation

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 6)
KEY = jax.random.key(0)
MASK = masking.BlockTube(0.35)
STUDENT, TEACHER = objective.View("video", mask=MASK), objective.View("video", teacher=True)


@pytest.fixture(scope="module")
def setting():
    built = global_distillation.GlobalDistillation(
        mask=MASK, pooler_heads=2, **tiny.SMALL, dims=DIMS, key=KEY
    )
    place = mask_contract.draw(MASK, tiny.FRAMES, tiny.PATCHES, 4)(jax.random.key(1))
    tokens = types.Tokens(jax.random.normal(jax.random.key(2), (*place.shape, 8)), place)
    guess = eqx.filter_jit(lambda x: built.pooler(built.leave(built.norm(built.transformer(built.enter(x))))))
    return built, tokens, guess(tokens.x), tiny.batch()


@eqx.filter_jit
def _compiled(built, tokens, target, batch):
    seen = {STUDENT: types.Encoded(tokens, None), TEACHER: types.Encoded(None, target)}
    return built(seen, batch, key=KEY)[0].value


def _loss(*given):
    return float(_compiled(*given))


@pytest.mark.parametrize(("factor", "wanted"), [(1.0, 0.0), (0.01, 0.0), (-3.0, 2.0)])
def test_only_the_direction_counts(setting, factor, wanted):
    built, tokens, guess, batch = setting
    assert _loss(built, tokens, factor * guess, batch) == pytest.approx(wanted, abs=1e-5)


def test_it_averages_one_value_an_example(setting):
    built, tokens, guess, batch = setting
    sign = jnp.array([1.0, 1.0, -1.0, 1.0])[:, None]
    assert _loss(built, tokens, sign * guess, batch) == pytest.approx(0.5, abs=1e-5)


def test_the_order_of_tokens_is_no_clue(setting):
    built, tokens, _, batch = setting
    target = jax.random.normal(jax.random.key(5), (4, 6))
    back = types.Tokens(tokens.x[:, ::-1], tokens.place[:, ::-1])
    np.testing.assert_allclose(
        _loss(built, back, target, batch), _loss(built, tokens, target, batch), atol=1e-5
    )
