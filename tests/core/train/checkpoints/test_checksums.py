"""Checksums see every flipped bit, and do not depend on the devices."""

import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train.checkpoints import checksums

KINDS = ("float32", "int32", "uint32", "uint8", "bool", "float16")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_seen(data):
    kind = data.draw(st.sampled_from(KINDS[:-2]))
    shape = data.draw(st.sampled_from([(), (5,), (3, 2), (2, 3, 4)]))  # each is compiled
    values = data.draw(arrays.arrays(kind, shape))
    changed = np.array(values)
    raw = changed.reshape(-1).view(np.uint8)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    there = data.draw(st.sampled_from([np.asarray, jnp.asarray]))
    assert checksums.of({"x": values}) != checksums.of({"x": there(changed.reshape(shape))})


@pytest.mark.parametrize("kind", [*KINDS, "bfloat16"])
def test_it_is_the_weighted_sum_of_the_bits(kind):
    values = jax.random.normal(jax.random.key(0), (3, 4, 5)).astype(kind)
    bits = np.asarray(values).reshape(-1)
    bits = bits.view({1: "uint8", 2: "uint16", 4: "uint32"}[bits.itemsize]).astype(np.uint64)
    expected = int((bits * (2 * np.arange(60, dtype=np.uint64) + 1)).sum() % 2**32)
    assert checksums.of({"x": values}) == checksums.of({"x": np.asarray(values)}) == {"x": expected}


def test_an_array_of_a_file_has_the_sum_that_it_has_on_a_device():
    turned = np.arange(12, dtype=np.int32).reshape(3, 4).T
    for values in (np.float32(3.5).reshape(()), turned, np.zeros(0, np.float32), np.arange(3), np.ones(3)):
        assert checksums.of({"x": values}) == checksums.of({"x": jnp.asarray(values)})


def test_values_that_change_places_are_seen():
    values = jnp.arange(6.0).reshape(2, 3)
    assert checksums.of({"x": values}) != checksums.of({"x": values[::-1]})


def test_a_mismatch_names_the_arrays_and_the_way_out():
    sums = checksums.of({"a": jnp.ones(3), "b": jnp.ones(3)})
    checksums.check({"a": jnp.ones(3)}, sums, "here")
    checksums.check({"a": jnp.zeros(3)}, None, "here")
    with pytest.raises(errors.UserError, match="checkpoint here is damaged: the content of b"):
        checksums.check({"a": jnp.ones(3), "b": jnp.zeros(3)}, sums, "here")
