"""Schedules hit their marks, decay touches matrices only, both optimizers go downhill."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train import optim

OPTIMIZERS = [optim.AdamW, optim.Adafactor]


@given(
    st.sampled_from(optim.DECAYS),
    st.integers(0, 20),
    st.integers(1, 50),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
)
def test_schedule_starts_peaks_and_ends_where_it_says(decay, warmup, rest, peak, share):
    end = 0.0 if decay == "constant" else peak * share
    steps = warmup + rest
    schedule = optim.Schedule(peak, warmup, end, decay).build(steps)
    at = lambda step: float(schedule(jnp.int32(step - 1)))  # steps from 1
    about = lambda rate: pytest.approx(rate, rel=1e-4, abs=1e-9)
    for step in range(1, warmup + 1):
        assert at(step) == about(peak * step / warmup)
    assert at(max(1, warmup)) == about(peak)
    if steps > 1:
        assert at(steps) == about(peak if decay == "constant" else end)
    rates = [at(step) for step in range(max(1, warmup), steps + 1)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(rates))


def test_no_step_of_a_warm_up_is_lost():
    # The rates that optax applies, read off the updates of a constant gradient.
    built = optax.scale_by_learning_rate(optim.Schedule(1.0, 2, 0.25, "linear").build(5))
    state, rates = built.init(jnp.zeros(())), []
    for _ in range(5):
        update, state = built.update(jnp.ones(()), state)
        rates.append(-float(update))
    np.testing.assert_allclose(rates, [0.5, 1.0, 0.75, 0.5, 0.25], rtol=1e-6)


def test_cosine_and_linear_bend_differently():
    half = lambda decay, step: float(optim.Schedule(1.0, 0, 0.0, decay).build(9)(step))
    assert half("linear", 2) == pytest.approx(0.75)
    assert half("cosine", 2) == pytest.approx((1 + np.cos(np.pi / 4)) / 2, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_warm_up_that_fills_the_stage_is_refused(steps):
    with pytest.raises(errors.UserError, match=f"warmup_steps must be fewer .* got 5 of {steps}"):
        optim.Schedule(warmup_steps=5).build(steps)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"decay": "exponential"}, "cosine, linear, constant"),
        ({"peak": 0.0}, "peak > 0"),
        ({"peak": 1.0, "end": 2.0}, "end=2.0"),
        ({"warmup_steps": -1}, "-1"),
    ],
)
def test_schedule_refuses_numbers_without_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        optim.Schedule(**wrong)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_a_gradient_only_matrices_shrink(optimizer):
    params = {"any name": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
    built = optimizer(optim.Schedule(0.1, decay="constant"), weight_decay=0.5).build(1)
    updates, _ = built.update(jax.tree.map(jnp.zeros_like, params), built.init(params), params)
    moved = optax.apply_updates(params, updates)
    np.testing.assert_allclose(moved["any name"], 2.0 * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(moved["bias"], params["bias"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_goes_downhill(optimizer):
    goal = jax.random.normal(jax.random.key(0), (4, 3))
    built = optimizer(optim.Schedule(0.2, 5)).build(60)
    loss = lambda params: jnp.mean((params["kernel"] - goal) ** 2)

    @jax.jit
    def one(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = built.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    start = {"kernel": jnp.zeros((4, 3))}
    values = jax.lax.scan(one, (start, built.init(start)), None, 60)[1]
    assert values[-1] < 0.05 * values[0], values


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_clipping_bounds_the_gradient(optimizer):
    # A gradient 1e6 too long moves the parameters just as its clipped self does.
    params = {"bias": jnp.zeros(3)}
    gradient = {"bias": jnp.array([3e6, 0.0, 4e6])}
    clipped = {"bias": jnp.array([0.6, 0.0, 0.8])}
    rate = optim.Schedule(0.1, decay="constant")
    built, free = (optimizer(rate, clip_norm=norm).build(1) for norm in (1.0, None))
    got, state = built.update(gradient, built.init(params), params)
    wanted, wanted_state = free.update(clipped, free.init(params), params)
    np.testing.assert_allclose(got["bias"], wanted["bias"], atol=1e-6)
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (3,)]
    for a, b in zip(
        moments, [leaf for leaf in jax.tree.leaves(wanted_state) if leaf.shape == (3,)], strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
