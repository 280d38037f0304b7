"""Position tables stretch without moving what is already in place."""

import functools

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core.nn import positions

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(5,), (3, 3)])
def test_its_own_shape_gives_the_table_itself(shape):
    table = positions.PositionTable(shape, 4, key=KEY)
    np.testing.assert_array_equal(table(), table.table)
    np.testing.assert_array_equal(table(shape), table.table)


# Few shapes, many values: every new shape is compiled again.
SHAPES = st.sampled_from([(2, 3), (4, 2), (3, 1)])


@functools.cache
def _blank(shape, dim):
    with jax.ensure_compile_time_eval():
        return positions.PositionTable(shape, dim, key=KEY)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _resized(values, shape, wanted):
    return eqx.tree_at(lambda own: own.table, _blank(shape, values.shape[-1]), values)(wanted)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.floats(-9.0, 9.0, width=32))
def test_resizing_a_constant_table_keeps_the_constant(shape, value):
    rows, wanted = shape
    table = np.full((rows * rows, 2), value, np.float32)
    got = _resized(table, (rows, rows), (wanted, wanted))
    assert got.shape == (wanted * wanted, 2)
    np.testing.assert_allclose(got, value, atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(0, 2**20))
def test_space_stretches_each_axis_as_time_does(shape, seed):
    side, wanted = shape
    line = np.random.default_rng(seed).normal(size=(side, 3)).astype(np.float32)
    plane = _resized(np.repeat(line, side, axis=0), (side, side), (wanted, wanted))
    expected = np.asarray(_resized(line, (side,), (wanted,)))
    np.testing.assert_allclose(
        np.asarray(plane).reshape(wanted, wanted, 3), np.repeat(expected[:, None], wanted, axis=1), atol=1e-5
    )


def test_first_values_have_the_asked_deviation():
    assert abs(float(positions.PositionTable((16, 16), 64, key=KEY).table.std()) * 16 - 1.0) < 0.03
    assert abs(float(positions.PositionTable((16, 16), 64, std=0.3, key=KEY).table.std()) / 0.3 - 1.0) < 0.03


@pytest.mark.parametrize(("length", "dim"), [(1, 2), (7, 5), (20, 16)])
def test_sinusoids_have_unit_pairs_and_start_at_zero_and_one(length, dim):
    waves = positions.sinusoids(length, dim)
    half = dim // 2
    assert waves.shape == (length, dim)
    np.testing.assert_allclose(waves[:, :half] ** 2 + waves[:, half : 2 * half] ** 2, 1.0, atol=1e-5)
    np.testing.assert_allclose(waves[0], [0.0] * half + [1.0] * half + [0.0] * (dim % 2), atol=1e-6)
    np.testing.assert_allclose(waves[:, 0], np.sin(np.arange(length)), atol=1e-5)
