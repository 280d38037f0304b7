"""Norms and cosines of the objectives' gradients add up to the gradient of a step."""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
import tiny

from prismlab.core import keys
from prismlab.core.train import learner
from prismlab.core.train.steps import objective_gradients, step

NORM, COSINE = "objective_gradient_norm/", "objective_gradient_cosine/"


def state_of(frozen=()):
    objectives = {"a": tiny.Bowl(), "b": tiny.Bowl(weight=0.5), "c": tiny.Bowl(weight=-2.0)}
    tree = learner.Learner(tiny.line_learner().towers, objectives)
    return step.init(tree, optax.sgd(0.1), frozen, key=jax.random.key(4))


@functools.cache
def values(parts=1, frozen=()):
    batch = step.HostBatch(**jax.tree.map(jnp.asarray, tiny.host_batch()))
    compiled = eqx.filter_jit(objective_gradients.gradients)
    found = compiled(state_of(frozen), batch, None, frozen, parts)
    return {name: float(mean.value) for name, mean in found.items()}


def test_the_parts_add_up_to_the_gradient_of_the_towers():
    found, state = values(), state_of()
    assert set(found) == {
        *(f"{NORM}{name}" for name in "abc"),
        *(f"{COSINE}{one} and {other}" for one, other in itertools.combinations("abc", 2)),
    }
    moving, still = eqx.partition(state.learner, step.trainable(state.learner, ()))
    batch = step.HostBatch(**jax.tree.map(jnp.asarray, tiny.host_batch()))
    key = keys.fold(state.key, "step", state.step)
    _, _, gradient, _ = step.loss_and_gradients(moving, still, batch, None, 1, key=key, step=state.step)
    norms = {name: found[f"{NORM}{name}"] for name in "abc"}
    square = sum(norm**2 for norm in norms.values()) + 2 * sum(
        found[f"{COSINE}{one} and {other}"] * norms[one] * norms[other]
        for one, other in itertools.combinations("abc", 2)
    )
    assert math.sqrt(square) == pytest.approx(float(optax.tree.norm(gradient.towers)), rel=1e-4)


def test_the_sign_of_a_cosine_says_who_works_against_whom():
    found = values()
    assert found[f"{COSINE}a and b"] > 0.9  # the same loss with other noise
    assert found[f"{COSINE}a and c"] < -0.9  # its negative
    assert found[f"{NORM}c"] > found[f"{NORM}a"] > found[f"{NORM}b"] > 0  # weights are applied


def test_parts_of_a_batch_give_the_same_and_frozen_towers_give_zero():
    assert values(2) == pytest.approx(values(), rel=0.05)  # the noise of the losses is drawn for each part
    still = values(frozen=("towers/video",))
    assert set(still.values()) == {0.0}
