"""Stages that differ in numbers and seeds share one compiled step, and each computes with its own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import trees
from prismlab.core.parallel import mesh
from prismlab.core.train import learner, optim, traced_numbers
from prismlab.core.train.steps import step

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **more: COMPILED.append(name) if name.endswith("backend_compile_duration") else None
)
DEVICES = mesh.Layout().make(jax.devices()[:1])


def stage(seed: int = 0, weight: float = 1.0, optimizer=optim.AdamW(), steps: int = 9, **more):  # noqa: B008
    """Return the state, the optimizer and the compiled step of a stage that compiles at once."""
    tree = learner.Learner(tiny.line_learner(seed).towers, {"bowl": tiny.Bowl(weight, **more)})
    built = optimizer.build(steps) if hasattr(optimizer, "build") else optimizer
    state = step.init(tree, built, (), key=jax.random.key(seed))
    return state, built, step.compile_step(state, built, (), None, mesh=DEVICES)


def stepped(state, compiled, times: int = 2):
    """Return the parameters and metrics after so many steps."""
    arrays, static = eqx.partition(state, eqx.is_array)
    arrays = jax.device_put(jax.tree.map(jnp.copy, arrays), mesh.whole(DEVICES))  # the step takes them over
    for index in range(times):
        batch = jax.device_put(step.HostBatch(**tiny.host_batch(index)), mesh.split(DEVICES))
        arrays, named = compiled(arrays, batch, None)
    values = {name: float(each.value) for name, each in named.items()}
    return trees.flatten(eqx.combine(arrays, static).learner), values


OTHER = optim.AdamW(optim.Schedule(0.2, 4, 1e-5), weight_decay=0.3, clip_norm=0.1)
CASES = {"optimizer": {"optimizer": OTHER, "steps": 30}, "weight": {"weight": 0.25}, "seed": {"seed": 3}}


@pytest.fixture(scope="module")
def compiled_once():
    for each in (stage(), stage(**CASES["seed"])):
        stepped(*each[::2])


@pytest.mark.parametrize("case", CASES)
def test_numbers_and_seeds_compile_once(compiled_once, case):
    state, optimizer, compiled = stage(**CASES[case])
    before = len(COMPILED)
    moved, named = stepped(state, compiled)
    assert len(COMPILED) == before
    # What it computes is what a step with these numbers as constants computes.
    constants = jax.jit(lambda arrays, batch: _plain(arrays, state, batch, optimizer))
    wanted = eqx.filter(state, eqx.is_array)
    for index in range(2):
        wanted, told = constants(wanted, step.HostBatch(**tiny.host_batch(index)))
    start = trees.flatten(state.learner)
    for path, value in trees.flatten(wanted.learner).items():
        np.testing.assert_allclose(moved[path], value, rtol=2e-5, atol=1e-6, err_msg=path)
        assert np.max(np.abs(moved[path] - start[path])) > 1e-4
    assert named["loss"] == pytest.approx(float(told["loss"].value), rel=1e-5)


def _plain(arrays, like, batch, optimizer):
    state, named = step.train_step(
        eqx.combine(arrays, eqx.filter(like, eqx.is_array, inverse=True)), batch, None, optimizer
    )
    return eqx.filter(state, eqx.is_array), named


@pytest.mark.parametrize(
    "other",
    [{"optimizer": optim.AdamW(b1=0.8)}, {"optimizer": optim.AdamW(clip_norm=None)}, {"bound": 2.0},
     {"optimizer": optim.AdamW(optim.Schedule(decay="linear"))}, {"optimizer": optax.sgd(0.1)}],
    ids=["b1", "no clipping", "objective", "decay", "optax"],
)  # fmt: skip
def test_what_is_no_number_has_its_own_program(other):
    assert stage()[2]._program is stage(**CASES["optimizer"])[2]._program
    assert stage(**other)[2]._program is not stage()[2]._program


@pytest.mark.parametrize("second", [False, True], ids=["stage 1", "stage 2"])
def test_stages_of_the_paper_share_their_program(second):
    """Nothing in a tower or an objective compares by identity."""
    text = {} if second else {"text": tiny.text_tower}
    made, teacher = (tiny.STAGE2, tiny.teacher()) if second else (tiny.STAGE1, None)
    build = lambda key: learner.build({"video": tiny.video_tower, **text}, made, teacher, key=key)
    programs = []
    for seed, weight in ((0, 1.0), (1, 0.5)):
        tree = eqx.filter_eval_shape(build, jax.random.key(seed))
        tree = traced_numbers.with_weights(tree, dict.fromkeys(tree.objectives, weight))
        state = eqx.filter_eval_shape(step.init, tree, OTHER.build(9), (), key=jax.random.key(seed))
        programs.append(step.compile_step(state, OTHER.build(9 + seed), (), teacher)._program)
    assert programs[0] is programs[1]


@given(
    st.sampled_from(optim.DECAYS),
    st.integers(0, 30),
    st.integers(1, 40),
    st.floats(1e-6, 1.0),
    st.floats(0, 1),
)
def test_rates_are_those_of_optax(decay, warmup, rest, peak, share):
    end, steps = 0.0 if decay == "constant" else peak * share, warmup + rest
    at = max(0, warmup - 1)
    after = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, max(1, steps - 1 - at), alpha=end / peak),
        "linear": lambda: optax.linear_schedule(peak, end, max(1, steps - 1 - at)),
        "constant": lambda: optax.constant_schedule(peak),
    }[decay]()
    wanted = (
        optax.join_schedules([optax.linear_schedule(peak / warmup, peak, at), after], [at]) if at else after
    )
    rate = optim.Schedule(peak, warmup, end, decay).build(steps)
    counts = np.arange(0, steps + 3, max(1, steps // 5))
    np.testing.assert_allclose(
        [float(rate(count)) for count in counts], [float(wanted(count)) for count in counts],
        rtol=2e-5, atol=2e-7 * peak,
    )  # fmt: skip


def test_keys_of_programs_tell_numbers_apart_by_their_type():
    one, other, same = (traced_numbers.Static({"a": value, "b": "x"}) for value in (1, True, 1))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != traced_numbers.Static({"c": 1, "b": "x"})
    with pytest.raises(TypeError, match="unhashable"):
        hash(traced_numbers.Static({"a": np.zeros(2)}))
