"""Checkpoints come back bit for bit, whole or not at all, whatever happens after the save."""

import json
import shutil
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, trees, types
from prismlab.core.parallel import mesh
from prismlab.core.train import learner
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.steps import step


class Bag(eqx.Module):
    """A tower that is nothing but arrays."""

    inputs: ClassVar[tuple[str, ...]] = ()
    arrays: dict

    def __call__(self):
        return types.Encoded(None, None)


def _state(arrays, at=3, opt_state=()):
    return step.TrainState(
        jnp.int32(at), learner.Learner({"bag": Bag(arrays)}, {}), opt_state, jax.random.key(5)
    )


def _blank(state):
    """Return a state of the same structure with other numbers."""
    other = lambda x: jax.random.key(0) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.zeros_like(x)
    return jax.tree.map(other, state)


def _zero(leaf):
    return jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf


def _bits(state):
    flat = trees.flatten(state)
    flat["key"] = jax.random.key_data(flat["key"])
    return {name: (str(x.dtype), x.shape, np.asarray(x).tobytes()) for name, x in flat.items()}


def _saved(folder, *states, meta=None):
    store = checkpoint.Checkpoints(folder)
    for state in states:
        store.save(state, meta or {})
    store.wait()
    return store


DTYPES = ["float32", "bfloat16", "int32", "uint8", "bool"]
ARRAYS = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=6),
    st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(1, 3), max_size=3), st.integers(0, 99)),
    min_size=1,
    max_size=5,
)


@given(ARRAYS)
@settings(max_examples=4)
def test_any_tree_comes_back_bit_for_bit(tmp_path_factory, drawn):
    make = lambda dtype, shape, seed: jnp.asarray(100 * np.random.default_rng(seed).normal(size=shape), dtype)
    state = _state(
        {name: make(*spec) for name, spec in drawn.items()}, opt_state=(make("float32", [2], 1), None)
    )
    folder = tmp_path_factory.mktemp("round")
    store = _saved(folder, state, meta={"words": ["a"], "number": 1.5})
    back, meta = store.restore(_blank(state))
    store.close()
    assert _bits(back) == _bits(state)
    assert meta == {"step": 3, "words": ["a"], "number": 1.5}
    at, arrays = checkpoint.read_learner(folder)
    assert at == 3
    assert trees.digest(arrays) == trees.digest(trees.flatten(state.learner))


def test_steps_that_take_over_the_buffers_do_not_reach_a_running_save(tmp_path):
    # Large enough that the files are still being written while the next steps run.
    draw = lambda i: jnp.asarray(np.random.default_rng(i).random((1024, 512), np.float32))
    big = {f"w{i}": draw(i) for i in range(8)}
    state = jax.device_put(_state(big), mesh.whole(mesh.make()))
    jax.block_until_ready(trees.flatten(state))
    wanted = _bits(state)
    add = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    jax.block_until_ready(add(jax.tree.map(jnp.copy, state.learner)))  # compiled before the race starts
    store = checkpoint.Checkpoints(tmp_path)
    store.save(state, {})
    tree = state.learner
    for _ in range(5):
        tree = add(tree)
    jax.block_until_ready(tree)
    assert state.learner.towers["bag"].arrays["w0"].is_deleted()
    store.wait()
    blank = jax.tree.map(lambda x: x, _state({name: jnp.zeros((1024, 512)) for name in big}))
    assert _bits(store.restore(blank)[0]) == wanted
    store.close()


def test_a_real_state_comes_back_with_its_optimizer_and_where_it_lay(tmp_path):
    tree = learner.Learner({"text": tiny.stage1().towers["text"]}, {})
    optimizer = optax.adam(1e-3)
    state = step.init(tree, optimizer, (), key=jax.random.key(1))
    whole = mesh.whole(mesh.make())
    placed = jax.device_put(eqx.filter(state, eqx.is_array), whole)
    state = eqx.combine(placed, eqx.filter(state, eqx.is_array, inverse=True))
    store = _saved(tmp_path, state)
    here = step.init(jax.tree.map(_zero, tree), optimizer, (), key=jax.random.key(2))
    back, _ = store.restore(here)
    store.close()
    assert _bits(back) == _bits(state)
    # A run may go on with other devices than it was saved with: the new state decides, not the file.
    for name, leaf in trees.flatten(back.learner).items():
        assert leaf.sharding.device_set == trees.flatten(here.learner)[name].sharding.device_set, name


def test_the_newest_two_are_kept_and_an_unfinished_one_is_ignored(tmp_path):
    store = _saved(tmp_path, *(_state({"a": jnp.full(2, float(at))}, at) for at in (1, 2, 3)))
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()) == [2, 3]
    store.close()
    shutil.copytree(tmp_path / "3", tmp_path / "9.orbax-checkpoint-tmp-1")
    (tmp_path / "notes").mkdir()
    assert checkpoint.newest(tmp_path) == 3
    again = checkpoint.Checkpoints(tmp_path)
    assert again.latest() == 3
    assert float(again.restore(_state({"a": jnp.zeros(2)}))[0].learner.towers["bag"].arrays["a"][0]) == 3.0
    again.close()


def test_what_a_killed_save_left_is_removed_by_the_next_writer_and_not_by_readers(tmp_path):
    _saved(tmp_path, _state({"a": jnp.ones(2)})).close()
    left = tmp_path / "9.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "3", left)
    checkpoint.newest(tmp_path)
    checkpoint.read_learner(tmp_path)
    assert left.exists()
    _saved(tmp_path, _state({"a": jnp.ones(2)}, at=4)).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]


def _lose(*_):
    raise FileNotFoundError(2, "No such file or directory", "checkpoints/4")


@pytest.mark.parametrize("end", [checkpoint.Checkpoints.wait, checkpoint.Checkpoints.close])
def test_a_save_whose_folder_was_deleted_meanwhile_is_one_line(tmp_path, monkeypatch, end):
    store = _saved(tmp_path / "here", _state({"a": jnp.ones(2)}))
    shutil.rmtree(tmp_path / "here")
    with monkeypatch.context() as patch:
        patch.setattr(store._manager, "check_for_errors", _lose)
        with pytest.raises(errors.UserError, match="one is step None; find out what deleted files there"):
            end(store)
    store.close()


def test_without_a_checkpoint_the_message_says_so(tmp_path):
    store = checkpoint.Checkpoints(tmp_path)
    assert store.latest() is None
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "absent") is None
    with pytest.raises(errors.UserError, match="no complete checkpoint under"):
        store.restore(_state({"a": jnp.zeros(2)}))
    store.close()
    with pytest.raises(errors.UserError, match="train the stage that writes it first"):
        checkpoint.read_learner(tmp_path)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [_cut, lambda path: path.unlink()], ids=["cut", "lost"])
def test_a_damaged_file_is_never_read_as_if_it_were_whole(tmp_path, damage):
    state = _state({"a": jax.random.normal(jax.random.key(0), (64, 64))})
    _saved(tmp_path / "good", state).close()
    learner_files = [
        p for p in (tmp_path / "good/3/learner").rglob("*") if p.is_file() and p.stat().st_size > 1
    ]
    refused = 0
    for number, file in enumerate(learner_files):
        copy = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", copy)
        damage(copy / file.relative_to(tmp_path / "good"))
        try:
            at, arrays = checkpoint.read_learner(copy)
        except errors.UserError:
            refused += 1
        else:
            # A file that the read never needed; what came is the truth.
            assert (at, trees.digest(arrays)) == (3, trees.digest(trees.flatten(state.learner))), file.name
    assert refused, [p.name for p in learner_files]


def test_other_shapes_are_refused_on_restore(tmp_path):
    store = _saved(tmp_path, _state({"a": jnp.ones((2, 3))}))
    for other in (
        {"a": jnp.ones((3, 3))},
        {"b": jnp.ones((2, 3))},
        {"a": jnp.ones((2, 3)), "b": jnp.ones(1)},
    ):
        with pytest.raises(
            errors.UserError, match="cannot be read: it is damaged or was written for other shapes"
        ):
            store.restore(_state(other))
    store.close()


def _towers(**arrays):
    return {"towers": {"bag": Bag({name: jnp.asarray(value) for name, value in arrays.items()})}}


def test_adopt_takes_what_fits_and_leaves_the_rest():
    tree = _towers(a=np.zeros(2, np.float32), b=np.zeros(3, np.float32))
    found = {"towers/bag/arrays/a": np.ones(2, np.float64), "objectives/x/kernel": np.ones(1)}
    taken, count = checkpoint.adopt(tree, found, "the file")
    assert count == 1
    got = trees.flatten(taken)
    np.testing.assert_array_equal(got["towers/bag/arrays/a"], 1.0)
    np.testing.assert_array_equal(got["towers/bag/arrays/b"], 0.0)
    assert got["towers/bag/arrays/a"].dtype == jnp.float32


def test_adopt_refuses_other_shapes_and_strangers():
    tree = _towers(a=np.zeros(2, np.float32))
    with pytest.raises(
        errors.UserError, match=r"the file has other shapes: towers/bag/arrays/a: expected \(2,\), got \(3,\)"
    ):
        checkpoint.adopt(tree, {"towers/bag/arrays/a": np.ones(3)}, "the file")
    with pytest.raises(errors.UserError, match="has no tower in common with this stage"):
        checkpoint.adopt(tree, {"towers/other/a": np.ones(2)}, "the file")
    many = _towers(**{f"a{i}": np.zeros(2, np.float32) for i in range(12)})
    with pytest.raises(errors.UserError, match="and 4 more"):
        checkpoint.adopt(many, {f"towers/bag/arrays/a{i}": np.ones(3) for i in range(12)}, "the file")


def test_a_save_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    store = _saved(tmp_path, _state({"a": jnp.ones(2)}, 1))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._manager, "save", full)
    with pytest.raises(errors.UserError, match="No space left on device; the last complete one is step 1"):
        store.save(_state({"a": jnp.ones(2)}, 2), {})
    store.close()


def test_arrays_that_do_not_match_their_checksums_are_refused(tmp_path):
    state = _state({"w": jnp.ones(4), "b": jnp.zeros(2)})
    _saved(tmp_path, state).close()
    (path,) = tmp_path.glob("3/meta/metadata")
    meta = json.loads(path.read_text())
    meta[checkpoint.CHECKSUMS]["learner"]["towers/bag/arrays/w"] ^= 1
    path.write_text(json.dumps(meta))
    store = checkpoint.Checkpoints(tmp_path)
    with pytest.raises(errors.UserError, match="3 is damaged: the content of towers/bag/arrays/w"):
        store.restore(_blank(state))
    with pytest.raises(errors.UserError, match="3 is damaged"):
        checkpoint.read_learner(tmp_path)
    del meta[checkpoint.CHECKSUMS]  # as written by earlier versions
    path.write_text(json.dumps(meta))
    assert _bits(store.restore(_blank(state))[0]) == _bits(state)
    store.close()


def test_a_protected_checkpoint_outlives_the_newest_two(tmp_path):
    store = _saved(tmp_path, _state({"a": jnp.zeros(2)}, 1))
    store.protect(store.newest)
    for at in (2, 3, 4):
        store.save(_state({"a": jnp.zeros(2)}, at), {})
    store.wait()
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()) == [1, 3, 4]
    store.close()
