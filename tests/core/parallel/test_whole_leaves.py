"""Large parameters that no axis splits are named, with the mesh that splits them."""

import jax
import jax.numpy as jnp
import pytest

from prismlab.core import errors
from prismlab.core.parallel import mesh, sharding, whole_leaves

# Attention weights of the giant, and a leaf that 256 chips do split.
LEAF = jax.ShapeDtypeStruct
TREE = {
    "blocks": {"query": {"w": LEAF((40, 1408, 16, 88), jnp.float32), "b": LEAF((40, 16, 88), jnp.float32)}},
    "table": LEAF((32000, 1408), jnp.float32),
}


def _sizes(data, replica=1):
    return {"replica": replica, "data": data, "model": 1}


def test_weights_that_no_axis_splits_are_named_with_the_nearest_mesh_that_splits_them():
    told = whole_leaves.advice(TREE, _sizes(256), sharding.Rules())
    assert told == (
        "blocks/query/w (317 MB) stays whole on every device: no axis is divisible by mesh.Layout.data=256; "
        "use data=128, replica=2"
    )
    for data, replica in ((128, 2), (64, 1), (1, 1)):
        assert whole_leaves.advice(TREE, _sizes(data, replica), sharding.Rules()) == ""


def test_weights_that_nothing_splits_get_no_wrong_advice():
    odd = {"odd": LEAF((1999, 1999), jnp.float32), "small": LEAF((251, 251), jnp.float32)}
    told = whole_leaves.advice(odd, _sizes(8), sharding.Rules())
    assert "odd (16 MB)" in told
    assert told.endswith("no other size of data splits them")
    assert whole_leaves.find(odd, _sizes(8), sharding.Rules(smallest=4_000_000)) == {}


@pytest.mark.parametrize(
    ("devices", "sizes"), [(1, (1, 1, 1)), (64, (1, 64, 1)), (256, (2, 128, 1)), (192, (3, 64, 1))]
)
def test_a_largest_size_of_data_leaves_the_rest_to_replicas(devices, sizes):
    assert mesh.Layout(largest_data=128).sizes(devices) == sizes


def test_a_largest_size_needs_a_size_that_is_left_open():
    with pytest.raises(errors.UserError, match="needs data=-1; got 128 with data=4"):
        mesh.Layout(data=4, largest_data=128)
