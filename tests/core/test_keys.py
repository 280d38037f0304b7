"""Keys depend on names alone, and names and trees have one spelling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import keys, trees

WORDS = st.text(min_size=1, max_size=8)


def _bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


@given(WORDS, WORDS)
def test_a_path_folds_from_left_to_right(a, b):
    key = jax.random.key(0)
    assert _bits(keys.fold(key, a, b)) == _bits(keys.fold(keys.fold(key, a), b))
    assert 0 <= keys.name_to_int(a) < 2**31
    if a != b:
        assert _bits(keys.fold(key, a)) != _bits(keys.fold(key, b))
        assert _bits(keys.fold(key, a, b)) != _bits(keys.fold(key, b, a))


def test_words_fold_the_same_on_every_machine():
    # Written down: a change would silently give every old configuration other initial weights.
    assert keys.name_to_int("video") == 106270283


def test_traced_integers_fold_like_python_ones():
    key = jax.random.key(1)
    assert _bits(jax.jit(lambda i: keys.fold(key, "step", i))(7)) == _bits(keys.fold(key, "step", 7))
    assert _bits(keys.seeded(3, "a")) == _bits(keys.fold(jax.random.key(3), "a"))


def _arrays(seed=0):
    random = np.random.default_rng(seed)
    return {"b/w": random.normal(size=(2, 3)).astype(np.float32), "a": np.arange(4, dtype=np.int32)}


def test_digest_ignores_the_order_and_notices_everything_else():
    arrays = _arrays()
    first = trees.digest(arrays)
    assert trees.digest(dict(reversed(arrays.items()))) == first
    assert trees.digest({k: jnp.asarray(v) for k, v in arrays.items()}) == first
    bent = {k: v.copy() for k, v in arrays.items()}
    bent["b/w"].view(np.uint32)[1, 2] ^= 1
    others = [
        bent,
        {"b/v": arrays["b/w"], "a": arrays["a"]},
        {**arrays, "a": arrays["a"].view(np.uint32)},
        {**arrays, "b/w": arrays["b/w"].reshape(3, 2)},
        {"a": arrays["a"]},
    ]
    assert len({first, *map(trees.digest, others)}) == 1 + len(others)
    assert len(trees.digest({"x": jnp.ones(2, jnp.bfloat16)})) == 64


def test_flatten_and_replace_are_inverse_by_path():
    tree = {"towers": {"a": jnp.ones(2), "b": [jnp.zeros(3), "word"]}}
    flat = trees.flatten(tree)
    assert sorted(flat) == ["towers/a", "towers/b/0"]
    assert trees.count(tree) == 5
    back = trees.replace(tree, {"towers/b/0": jnp.full(3, 7.0)})
    np.testing.assert_array_equal(back["towers"]["b"][0], 7.0)
    assert back["towers"]["b"][1] == "word"
    assert back["towers"]["a"] is tree["towers"]["a"]
    with pytest.raises(KeyError, match="towers/c"):
        trees.replace(tree, {"towers/c": jnp.ones(1)})
