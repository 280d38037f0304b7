"""Rows that train together compute what each would alone, to the bit, whoever leaves and whatever happens."""

import functools
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import tiny

from prismlab.core import trees
from prismlab.core.parallel import mesh
from prismlab.core.train import learner, optim
from prismlab.core.train.loops import co_training
from prismlab.core.train.steps import step

STEPS = 4
DEVICES = mesh.Layout().make(jax.devices()[:1])
ROWS = (
    {"bowl": tiny.Bowl()},
    {"bowl": tiny.Bowl(0.5, bound=0.9)},
    {"bowl": tiny.Bowl(), "other": tiny.Bowl(2.0)},
)


@pytest.fixture(scope="module", autouse=True)
def usual_promotion():
    """Let dtypes mix in all threads: optax does so within its own update."""
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


def start(row: int):
    """Return the arrays of a row and its own compiled step."""
    tree = learner.Learner(tiny.line_learner().towers, ROWS[row])
    built = optim.AdamW(optim.Schedule(0.1 * (row + 1), 1)).build(9)
    state = step.init(tree, built, (), key=jax.random.key(3))
    arrays = jax.tree.map(jnp.copy, eqx.filter(state, eqx.is_array))
    return jax.device_put(arrays, mesh.whole(DEVICES)), step.compile_step(
        state, built, (), None, mesh=DEVICES
    )


def batch(index: int):
    return jax.device_put(step.HostBatch(**tiny.host_batch(index)), mesh.split(DEVICES))


def digest(arrays) -> str:
    return trees.digest(trees.flatten({"a": arrays.learner, "b": arrays.opt_state}))


@pytest.fixture(scope="module")
def alone():
    found = []
    for row in range(len(ROWS)):
        arrays, single = start(row)
        for index in range(STEPS):
            arrays, _ = single(arrays, batch(index), None)
        found.append(digest(arrays))
    assert len(set(found)) == len(ROWS)
    return found


def train(group: co_training.Group, leaves: int | None = None):
    """Train all rows in threads; the row `leaves` leaves after two steps."""
    batches = [batch(index) for index in range(STEPS)]
    found: list = [None] * group.size

    def one(row: int) -> None:
        arrays, single = start(row)
        stepped = group.member(row).stepper(single)
        try:
            for index in range(STEPS if row != leaves else 2):
                arrays, _ = stepped(
                    arrays, group.placed(batches[index], functools.partial(batches.__getitem__, index)), None
                )
            found[row] = digest(arrays)
        except Exception as error:
            found[row] = error
        finally:
            if row == leaves:
                group.leave(row)

    threads = [threading.Thread(target=one, args=(row,), daemon=True) for row in range(group.size)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive()
    return found


def test_rows_have_the_bits_of_single_runs(alone, monkeypatch):
    programs = []
    made = co_training._program
    monkeypatch.setattr(co_training, "_program", lambda parts: programs.append(len(parts)) or made(parts))
    group = co_training.Group(len(ROWS))
    assert train(group) == alone
    assert (group.equal, group.together) == (True, True)
    assert programs == [len(ROWS)] * STEPS  # every step is one program of all rows


def test_a_row_that_leaves_does_not_change_the_others(alone):
    group = co_training.Group(len(ROWS), checked=0)
    found = train(group, leaves=1)
    assert [found[0], found[2]] == [alone[0], alone[2]]
    assert not group.together


def test_rows_of_other_bits_go_on_alone(alone, monkeypatch):
    stepped = co_training._stepped

    def off(*given):
        (arrays, named), *rest = stepped(*given)
        return [(eqx.tree_at(lambda own: own.learner.towers["video"].kernel, arrays,
                             arrays.learner.towers["video"].kernel * (1 + 1e-6)), named), *rest]  # fmt: skip

    monkeypatch.setattr(co_training, "_stepped", off)
    group = co_training.Group(len(ROWS))
    assert train(group) == alone
    assert (group.equal, group.together) == (False, False)


def test_rows_are_lowered_as_one_program_that_returns_a_state_for_each():
    arrays, singles = zip(*(start(row) for row in range(len(ROWS))))
    lowered = co_training.lower(singles, arrays, batch(0), None)
    shapes = lambda tree: [leaf.shape for leaf in jax.tree.leaves(tree)]
    assert [shapes(state) for state, _ in lowered.out_info] == [shapes(each) for each in arrays]


def test_every_row_hears_of_an_error_of_the_program(monkeypatch):
    def full(*given):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(co_training, "_stepped", full)
    found = train(co_training.Group(len(ROWS)))
    assert [type(each) for each in found] == [co_training.Apart] * len(ROWS)
    assert all("RESOURCE_EXHAUSTED" in str(each) for each in found)


def test_all_rows_stop_after_the_same_step():
    came = [False]
    group = co_training.Group(2, came=lambda: came[0])
    assert not group.stopped()
    came[0] = True
    assert not group.stopped()  # at the next step of all
    group.leave(0)
    assert group.stopped()
