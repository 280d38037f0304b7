"""The batch is split over the devices, the state is whole on each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.parallel import mesh


def test_a_batch_is_split_and_a_state_is_whole():
    devices = mesh.make()
    assert devices.size == jax.device_count() == 2
    batch = jax.device_put(jnp.arange(4), mesh.split(devices))
    assert [np.asarray(s.data).tolist() for s in batch.addressable_shards] == [[0, 1], [2, 3]]
    state = jax.device_put(jnp.arange(4), mesh.whole(devices))
    assert [s.data.shape for s in state.addressable_shards] == [(4,), (4,)]


@given(st.integers(-3, 9))
def test_a_batch_that_the_devices_do_not_divide_is_refused_with_sizes_that_fit(size):
    devices = mesh.make()
    if size > 0 and size % 2 == 0:
        mesh.check_batch(size, devices)
        return
    with pytest.raises(
        errors.UserError, match=f"batch_size={size} cannot be split over 2 devices; use "
    ) as caught:
        mesh.check_batch(size, devices)
    advice = [int(word) for word in str(caught.value).split("; use ")[1].split(" or ")]
    assert len(set(advice)) == len(advice), "the same advice twice"
    for better in advice:
        mesh.check_batch(better, devices)


def test_a_program_is_traced_for_the_platform_of_its_mesh():
    assert mesh.platform() == "cpu"
    with mesh.within(mesh.make()):
        assert mesh.platform() == "cpu"
    with mesh.planned("tpu"):
        assert mesh.platform() == "tpu"
    with mesh.planned("cpu"), mesh.planned(None):
        assert mesh.platform() == "cpu"
