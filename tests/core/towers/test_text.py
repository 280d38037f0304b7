"""The text tower reads what is there, in order, and nothing else."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.towers import presets, text

SIZE = presets.Size(dim=8, heads=2, mlp_dim=32, spatial_layers=1, temporal_layers=1, text_layers=2)


@functools.cache
def tower():
    with jax.ensure_compile_time_eval():
        return text.TextTower(SIZE, 20, key=jax.random.key(0))


CALL = jax.jit(lambda ids, paddings: tower()(ids, paddings).pooled)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 19), min_size=6, max_size=6), st.integers(0, 19), st.integers(1, 6))
def test_what_is_padded_is_not_read(ids, other, length):
    paddings = (np.arange(6) >= length).astype(np.float32)[None]
    ids = np.asarray([ids], np.int32)
    changed = np.where(paddings == 1.0, np.int32(other), ids)
    np.testing.assert_array_equal(CALL(ids, paddings), CALL(changed, paddings))


def test_padding_only_lengthens():
    ids = jnp.array([[3, 5, 7]])
    longer = jnp.array([[3, 5, 7, 0, 0, 0]])
    paddings = jnp.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(CALL(ids, jnp.zeros((1, 3))), CALL(longer, paddings), atol=1e-5)


def test_order_is_read():
    pair = CALL(jnp.array([[3, 5, 7], [5, 3, 7]]), jnp.zeros((2, 3)))
    assert jnp.abs(pair[0] - pair[1]).max() > 1e-3


def test_causal_differs_from_full_and_sizes_are_told():
    full = text.TextTower(SIZE, 20, causal=False, key=jax.random.key(0))
    ids, paddings = jnp.array([[3, 5, 7]]), jnp.zeros((1, 3))
    assert jnp.abs(jax.jit(lambda *of: full(*of).pooled)(ids, paddings) - CALL(ids, paddings)).max() > 1e-3
    assert (tower().dim, tower().vocabulary) == (8, 20)
    tokens = jax.jit(lambda ids: tower()(ids, paddings).tokens)
    words = tokens(ids)
    assert words.x.shape == (1, 3, 8)
    # Causal: a word knows nothing of the words after it.
    changed = tokens(ids.at[0, 2].set(9)).x
    np.testing.assert_array_equal(changed[:, :2], words.x[:, :2])
    assert jnp.abs(changed[:, 2] - words.x[:, 2]).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_of_activations_under_strict_promotion(dtype):
    tower = text.TextTower(SIZE, 20, dtype=dtype, key=jax.random.key(0))
    with jax.numpy_dtype_promotion("strict"):
        got = eqx.filter_eval_shape(tower, jnp.array([[3, 5, 7]]), jnp.zeros((1, 3)))
    assert got.pooled.dtype == dtype
    assert tower.token_table.dtype == jnp.float32
