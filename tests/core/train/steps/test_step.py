"""One step is a pure function; compiled, split over devices or with frozen parts it means the same."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from jax.sharding import Mesh

from prismlab.core import errors, trees
from prismlab.core.parallel import mesh
from prismlab.core.train import learner
from prismlab.core.train.steps import step
from prismlab.objectives import contrastive

# Plain descent: Adam divides by a gradient's own size, which turns rounding into whole steps.
DESCENT = optax.sgd(0.1)
KEY = jax.random.key(1)
ENCODER = "towers/video/encoder"


def _state(tower):
    # Negatives from the whole batch, masks drawn in a loop, packed gathers: all that could mind a split.
    towers = {"video": tower, "text": tiny.QUICK["text"]}
    objectives = {"contrastive": functools.partial(contrastive.Contrastive, drop=tiny.MASK)}
    return step.init(learner.build(towers, objectives, None, key=KEY), DESCENT, (), key=KEY)


@pytest.fixture(scope="module")
def state():
    return _state(tiny.QUICK["video"])


def _run(state, devices, frozen=(), optimizer=DESCENT, times=1):
    """Return the flat state and metrics after so many compiled steps on these devices."""
    grid = Mesh(np.asarray(devices), ("data",))
    arrays, static = eqx.partition(jax.tree.map(lambda x: x, state), eqx.is_array)
    # A copy, since the step takes over the buffers it is given.
    arrays = jax.device_put(jax.tree.map(jnp.copy, arrays), mesh.whole(grid))
    compiled = step.compile_step(state, optimizer, frozen, None)
    given = arrays
    for index in range(times):
        batch = jax.device_put(step.HostBatch(**tiny.host_batch(index)), mesh.split(grid))
        arrays, named = compiled(arrays, batch, None)
    values = {name: mean.value for name, mean in named.items()}
    return trees.flatten(eqx.combine(arrays, static)), values, given


@pytest.fixture(scope="module")
def on_two(state):
    return _run(state, jax.devices())


@pytest.fixture(scope="module")
def on_one(state):
    return _run(state, jax.devices()[:1])


def _plain(arrays):
    return {
        k: np.asarray(v, np.float64)
        for k, v in arrays.items()
        if not jax.dtypes.issubdtype(v.dtype, jax.dtypes.prng_key)
    }


def _assert_close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-5, err_msg=name)


def test_two_devices_equal_one(on_one, on_two):
    _assert_close(_plain(on_one[0]), _plain(on_two[0]))
    _assert_close(on_one[1], on_two[1])


@pytest.mark.slow  # test_two_devices_equal_one has a tower without a Transformer
def test_two_devices_equal_one_with_a_transformer():
    state = _state(tiny.video_tower)
    one, two = (_run(state, devices) for devices in (jax.devices()[:1], jax.devices()))
    _assert_close(_plain(one[0]), _plain(two[0]))
    _assert_close(one[1], two[1])


def test_compiled_equals_eager():
    state = step.init(tiny.line_learner(), DESCENT, (), key=KEY)
    compiled, values, _ = _run(state, jax.devices())
    batch = step.HostBatch(**jax.tree.map(jnp.asarray, tiny.host_batch()))
    after, named = step.train_step(state, batch, None, DESCENT)
    _assert_close(_plain(trees.flatten(after)), _plain(compiled))
    _assert_close({name: mean.value for name, mean in named.items()}, values)


def test_a_step_counts_and_keeps_the_key(state, on_two):
    assert int(on_two[0]["step"]) == 1
    np.testing.assert_array_equal(jax.random.key_data(on_two[0]["key"]), jax.random.key_data(state.key))


def test_the_old_state_is_given_away(on_two):
    leaves = [leaf for leaf in jax.tree.leaves(on_two[2]) if eqx.is_inexact_array(leaf)]
    assert all(leaf.is_deleted() for leaf in leaves)


def test_metrics_are_scalars_with_the_loss_and_the_gradients_length(on_two):
    assert {"loss", "gradient_norm", "loss/contrastive", "contrastive/temperature"} <= on_two[1].keys()
    assert all(value.shape == () and jnp.isfinite(value) for value in on_two[1].values())
    assert float(on_two[1]["gradient_norm"]) > 0


def test_frozen_parts_do_not_move_and_have_no_memory():
    optimizer = optax.adamw(0.1, weight_decay=0.5)
    tree = tiny.line_learner()
    state = step.init(tree, optimizer, ("towers/video",), key=KEY)
    assert not any("video" in path for path in trees.flatten(state.opt_state))
    after = _run(state, jax.devices(), ("towers/video",), optimizer, times=2)[0]
    np.testing.assert_array_equal(after["learner/towers/video/kernel"], tree.towers["video"].kernel)
    assert (after["learner/objectives/bowl/shift"] != tree.objectives["bowl"].shift).all()
    free = _run(step.init(tree, optimizer, (), key=KEY), jax.devices(), (), optimizer)[0]
    assert (free["learner/towers/video/kernel"] != tree.towers["video"].kernel).all()


def test_a_frozen_path_freezes_whole_names_only():
    tree = tiny.stage1()
    moving = lambda *frozen: step.trainable(tree, frozen)
    assert not any(jax.tree.leaves(moving(ENCODER).towers["video"].encoder))
    assert any(jax.tree.leaves(moving(ENCODER).towers["video"].pooler))
    for wrong in ("towers/vid", "towers/video/enc", "encoder", "towers/video/encoder/"):
        with pytest.raises(
            errors.UserError, match=f"no parameter lies under '{wrong}'; paths look like 'towers/"
        ):
            moving(wrong)


@pytest.mark.parametrize("parts", [1, 2])
def test_parameters_stay_in_their_range_after_each_update(parts):
    tree = learner.Learner(tiny.line_learner().towers, {"bowl": tiny.Bowl(bound=1.0)})
    optimizer = optax.sgd(-50.0)  # away from the minimum
    state = step.init(tree, optimizer, (), key=jax.random.key(0))
    batch = step.HostBatch(**tiny.host_batch())
    one = eqx.filter_jit(lambda state: step.train_step(state, batch, None, optimizer, (), parts)[0])
    for _ in range(2):
        state = one(state)
        shift = state.learner.objectives["bowl"].shift
        assert float(jnp.max(jnp.abs(shift))) == 1.0


def test_pixels_are_scaled_once():
    host = tiny.host_batch()
    batch = step.to_device_units(step.HostBatch(**jax.tree.map(jnp.asarray, host)))
    assert batch.video.dtype == jnp.float32
    np.testing.assert_allclose(batch.video, host["video"] / 255.0, atol=1e-6)
