"""State that no gradient trains: changed once per step, kept in checkpoints, left alone by the optimizer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from jax.sharding import Mesh

from prismlab.core import errors, trees, weight_decay
from prismlab.core.parallel import mesh, sharding
from prismlab.core.train import learner, metrics, moving_average, objective, objective_state, queue, schedules
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.core.train.steps import step

CLIP = objective.View("video")
ADAM = optax.adamw(0.1, weight_decay=0.5, mask=weight_decay.mask)


class Memory(objective.AbstractObjective):
    """Distance to the moving average's vector and to the mean of past vectors."""

    weight: schedules.Number
    target: jax.Array
    average: moving_average.MovingAverage = eqx.field(metadata=objective_state.STATE)
    past: queue.Queue = eqx.field(metadata=objective_state.STATE)

    def __init__(self, weight=1.0, decay=0.75, length=12):
        self.weight, self.target = weight, jnp.ones(4)
        self.average = moving_average.MovingAverage(("video",), decay)
        self.past = queue.Queue(length, 4)

    def views(self):
        return frozenset({CLIP})

    def started(self, towers):
        return eqx.tree_at(lambda own: own.average, self, self.average.started(towers))

    def observed(self, seen, batch):
        return {"clip": objective.pooled(seen, CLIP)}

    def advanced(self, towers, observed, weight, step):
        new = (self.average.advanced(towers, step), self.past.pushed(observed["clip"], weight))
        return eqx.tree_at(lambda own: (own.average, own.past), self, new)

    def __call__(self, seen, batch, *, key):
        clip = objective.pooled(seen, CLIP)
        mean = jnp.sum(self.past.vectors, axis=0) / jnp.maximum(jnp.sum(self.past.present), 1.0)
        wanted = self.target + self.average.encode("video", batch).pooled + mean
        return metrics.Mean.of(jnp.sum((clip - wanted) ** 2, axis=-1), batch.weight), {}


def _state(optimizer=ADAM, **options):
    tree = learner.Learner(tiny.line_learner().towers, {"it": Memory(**options)}).started()
    return step.init(tree, optimizer, (), key=jax.random.key(3))


def _batch(seed):
    batch = tiny.host_batch(seed, size=4)
    batch["weight"][seed % 4] = 0.0
    return step.HostBatch(**jax.tree.map(jnp.asarray, batch))


def _run(state, first, last, devices, parts=1):
    """Return the state after the steps first .. last - 1 on these devices."""
    grid = Mesh(np.asarray(devices).reshape(1, -1, 1), mesh.AXES)
    arrays, static = eqx.partition(state, eqx.is_array)
    arrays = jax.device_put(jax.tree.map(jnp.copy, arrays), sharding.of(state, grid))
    compiled = step.compile_step(state, ADAM, (), None, mesh=grid, accumulate=parts)
    for at in range(first, last):
        arrays, _ = compiled(arrays, jax.device_put(_batch(at), mesh.split(grid)), None)
    return eqx.combine(arrays, static)


def _bits(state):
    flat = trees.flatten(state)
    flat["key"] = jax.random.key_data(flat["key"])
    return {name: np.asarray(leaf).tobytes() for name, leaf in flat.items()}


@pytest.fixture(scope="module")
def trained():
    return _run(_state(), 0, 3, jax.devices())


def test_state_is_not_trained():
    state = _state()
    own = trees.flatten(objective_state.without(state.learner))
    assert own.keys() == {"towers/video/kernel", "objectives/it/target"}
    inside = trees.flatten(state.opt_state)
    assert not any("average" in path or "past" in path for path in inside)
    assert all(marked is False for marked in jax.tree.leaves(objective_state.mask(tiny.line_learner())))
    # Without an update of the parameters nothing moves a state that is a copy of them.
    after, named = step.train_step(_state(optax.sgd(0.0)), _batch(0), None, optax.sgd(0.0))
    np.testing.assert_allclose(
        after.learner.objectives["it"].average.towers["video"].kernel, after.learner.towers["video"].kernel
    )
    assert float(named["gradient_norm"].value) > 0


def test_the_average_follows_the_formula_and_the_queue_the_batches():
    state = _state(decay=schedules.Ramp(0.5, 1.0, steps=2))
    wanted = np.asarray(state.learner.towers["video"].kernel, np.float64)
    vectors, present = np.zeros((12, 4)), np.zeros(12)
    for at, decay in enumerate((0.5, 0.75, 1.0, 1.0)):
        seen = np.asarray(_batch(at).video, np.float64).mean((1, 2, 3)) / 255
        vectors = np.concatenate([seen @ np.asarray(state.learner.towers["video"].kernel), vectors])[:12]
        present = np.concatenate([np.asarray(_batch(at).weight), present])[:12]
        state, _ = step.train_step(state, _batch(at), None, ADAM)
        wanted = decay * wanted + (1 - decay) * np.asarray(state.learner.towers["video"].kernel)
        own = state.learner.objectives["it"]
        np.testing.assert_allclose(own.average.towers["video"].kernel, wanted, atol=1e-5)
        np.testing.assert_allclose(own.past.vectors, vectors, atol=1e-5)
        np.testing.assert_array_equal(own.past.present, present)


def test_in_parts_and_on_one_device_it_changes_alike(trained):
    for devices, parts in ((jax.devices(), 2), (jax.devices()[:1], 1)):
        other = _run(_state(), 0, 3, devices, parts)
        for name, leaf in trees.flatten(trained.learner).items():
            np.testing.assert_allclose(trees.flatten(other.learner)[name], leaf, atol=1e-4, err_msg=name)


def test_it_resumes_to_the_same_bits_and_restores_on_another_number_of_devices(trained, tmp_path):
    part = _run(_state(), 0, 2, jax.devices())
    store = checkpoint.Checkpoints(tmp_path)
    store.save(part, {})
    store.wait()
    for devices in (jax.devices(), jax.devices()[:1]):
        grid = Mesh(np.asarray(devices).reshape(1, -1, 1), mesh.AXES)
        back, _ = store.restore(_state(), grid)
        assert _bits(back) == _bits(part)
        assert back.learner.objectives["it"].past.vectors.sharding.device_set == set(devices)
    back, _ = store.restore(_state(), Mesh(np.asarray(jax.devices()).reshape(1, -1, 1), mesh.AXES))
    assert _bits(_run(back, 2, 3, jax.devices())) == _bits(trained)
    with pytest.raises(errors.UserError, match="was written for other shapes") as told:
        store.restore(_state(length=8))
    assert "\n" not in str(told.value)
    store.close()


def test_the_encoder_of_a_stage_is_what_is_read_of_its_checkpoint(trained, tmp_path):
    for encoder in (None, "it"):
        folder = tmp_path / str(encoder)
        store = checkpoint.Checkpoints(folder / "checkpoints")
        store.save(trained, {} if encoder is None else {checkpoint.ENCODER: encoder})
        store.close()
        read = stage_folder.read(folder)[1]["towers/video/kernel"]
        wanted = moving_average.read(trained.learner.towers, trained.learner.objectives, encoder)
        np.testing.assert_array_equal(read, wanted["video"].kernel)
    assert not np.array_equal(read, trained.learner.towers["video"].kernel)


def test_an_encoder_that_is_no_average_is_refused():
    tree = _state().learner
    with pytest.raises(errors.UserError, match=r"encoder='bowl' names no objective with .* one of \['it'\]"):
        moving_average.read(tree.towers, {**tree.objectives, "bowl": tiny.Bowl()}, "bowl")


@pytest.mark.parametrize("decay", [-0.1, 1.5, schedules.Ramp(0.9, 1.1, 3), float("nan")])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(errors.UserError, match=r"must be in \[0, 1\], got"):
        moving_average.MovingAverage(("video",), decay)


def test_a_queue_that_cannot_work_is_refused(monkeypatch):
    queue.Queue(4, 2).check(4)
    with pytest.raises(errors.UserError, match="queue of 3 entries is shorter than the batch of 4"):
        queue.Queue(3, 2).check(4)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(errors.UserError, match="a queue works on one host, found 2"):
        queue.Queue(4, 2).check(4)


def test_a_weight_may_be_a_schedule():
    ramp = schedules.Ramp(0.0, 2.0, steps=4, after=1)
    assert [float(ramp(at)) for at in (0, 1, 3, 5, 9)] == [0.0, 0.0, 1.0, 2.0, 2.0]
    assert float(schedules.Ramp(1.0, 3.0, steps=2, shape="cosine")(1)) == pytest.approx(2.0)
    tree = _state(weight=ramp).learner
    for at, factor in ((1, 0.0), (3, 1.0), (5, 2.0)):
        state = step.TrainState(
            jnp.int32(at), tree, ADAM.init(eqx.filter(tree, step.trainable(tree, ()))), jax.random.key(0)
        )
        for parts in (1, 2):
            _, named = step.train_step(state, _batch(0), None, ADAM, (), parts)
            assert float(named["loss"].value) == pytest.approx(
                factor * float(named["loss/it"].value), rel=1e-5
            )
            assert float(named["it/weight"].value) == factor
    with pytest.raises(errors.UserError, match="steps must be at least 1"):
        schedules.Ramp(0.0, 1.0, 0)
    with pytest.raises(errors.UserError, match="must be one of linear, cosine, got 'jump'"):
        schedules.Ramp(0.0, 1.0, 2, shape="jump")
