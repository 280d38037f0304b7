"""The table of sharding rules, on shapes alone: nothing is compiled here."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import tiny
from jax.sharding import PartitionSpec

from prismlab.core import errors, trees
from prismlab.core.parallel import mesh, sharding
from prismlab.core.train import optim
from prismlab.core.train.steps import step

SIZES = {"replica": 2, "data": 2, "model": 2}
ALL = sharding.Rules(smallest=1)
BLOCKS = "towers/video/encoder/spatial/blocks"


def _state(optimizer):
    make = lambda: step.init(tiny.stage1(), optimizer.build(8), (), key=jax.random.key(0))
    return eqx.filter_eval_shape(make)


def test_heads_and_hidden_widths_are_split_over_model_and_the_rest_over_data():
    specs = sharding.specs(_state(optim.AdamW()), SIZES, ALL)
    wanted = {
        "attention/query/w": (None, "data", "model"),
        "attention/post/w": (None, "data", "model"),
        "attention/query/b": (None, "model", "data"),
        "feed/inner/kernel": (None, "data", "model"),
        "feed/outer/kernel": (None, "model", "data"),
    }
    for end, axes in wanted.items():
        assert specs[f"learner/{BLOCKS}/{end}"] == PartitionSpec(*axes), end
    assert specs["step"] == specs["key"] == PartitionSpec()


def test_a_module_that_no_line_names_is_split_where_it_is_largest():
    rules = sharding.Rules(smallest=64)
    spec = lambda path, *shape: rules.spec(path, shape, SIZES)
    assert spec("learner/objectives/new/table", 8, 64) == PartitionSpec(None, "data")
    assert spec("learner/objectives/new/table", 64, 9) == PartitionSpec("data")
    assert spec("learner/objectives/new/odd", 9, 9) == PartitionSpec()
    assert spec("learner/objectives/new/small", 62) == PartitionSpec()
    # Layers are walked along by a scan, however many there are.
    assert spec("learner/objectives/new/blocks/table", 64, 8) == PartitionSpec(None, "data")


@pytest.mark.parametrize("optimizer", [optim.AdamW(), optim.Adafactor()])
def test_optimizer_memory_lies_where_its_parameter_lies(optimizer):
    specs = sharding.specs(_state(optimizer), SIZES, ALL)
    state = trees.flatten(_state(optimizer))
    followed = 0
    for path, leaf in state.items():
        at = path.find("/towers/")
        if at > 0 and path.startswith("opt_state/") and leaf.shape == state["learner" + path[at:]].shape:
            assert specs[path] == specs["learner" + path[at:]], path
            followed += 1
    assert followed > 50


def test_a_factored_moment_follows_less_the_axis_it_lacks():
    tree = {
        "learner": {"w": jax.ShapeDtypeStruct((256, 128), jnp.float32)},
        "opt_state": {
            "v_row": {"w": jax.ShapeDtypeStruct((256,), jnp.float32)},
            "v_col": {"w": jax.ShapeDtypeStruct((128,), jnp.float32)},
        },
    }
    specs = sharding.specs(tree, SIZES, ALL)
    assert specs["learner/w"] == PartitionSpec("data")
    assert specs["opt_state/v_row/w"] == PartitionSpec("data")
    assert specs["opt_state/v_col/w"] == PartitionSpec()


def test_heads_that_model_does_not_divide_are_refused_with_the_nearest_that_do():
    with pytest.raises(errors.UserError, match=r"heads 2 of .* over mesh.Layout.model=8; use model=2"):
        sharding.specs(tiny.stage1(), {"replica": 1, "data": 1, "model": 8}, ALL)


@pytest.mark.parametrize(
    ("layout", "advice"),
    [
        (mesh.Layout(model=3), "use model=2 or 4"),
        (mesh.Layout(2, 2, 3), "use model=2"),
        (mesh.Layout(replica=16), "use replica=8"),
    ],
)
def test_a_layout_that_does_not_fit_the_devices_is_refused(layout, advice):
    with pytest.raises(errors.UserError, match=f"does not fit 8 devices; {advice}"):
        layout.sizes(8)
    assert mesh.Layout(2, -1, 2).sizes(8) == (2, 2, 2)


@pytest.mark.parametrize("sizes", [{"data": 0}, {"model": -2}, {"replica": -1}])
def test_a_layout_without_sense_is_refused(sizes):
    with pytest.raises(ValueError, match="Layout"):
        mesh.Layout(**sizes)
