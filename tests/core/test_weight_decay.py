"""Weight decay reaches matrices, in our modules and in a user's, and nothing else."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jaxtyping import Array

from prismlab.core import weight_decay
from prismlab.core.train import optim
from prismlab.core.train.steps import step

KEY = jax.random.key(0)


def _decayed(tree):
    arrays = eqx.filter(tree, eqx.is_inexact_array)
    leaves = jax.tree_util.tree_leaves_with_path(weight_decay.mask(arrays))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): decays for path, decays in leaves}


def test_in_our_towers_and_objectives_only_kernels_decay():
    paths = _decayed({"stage1": tiny.stage1(), "stage2": tiny.stage2()})
    last = lambda path: path.rsplit("/", 1)[1]
    assert {last(p) for p, decays in paths.items() if decays} == {"kernel", "w"}
    still = {last(p) for p, decays in paths.items() if not decays}
    assert still.isdisjoint({"kernel", "w"})
    assert {"bias", "b", "scale", "table", "query", "token_table", "class_token", "log_scale"} <= still
    assert {"mask_token", "position", "dimension_scale"} <= still
    assert any("blocks" in p for p, decays in paths.items() if decays)  # stacked
    assert any("decoder/project" in p for p, decays in paths.items() if decays)  # and plain


class Lab(eqx.Module):
    """What a user may write."""

    line: eqx.nn.Linear
    image: eqx.nn.Conv2d
    attention: eqx.nn.MultiheadAttention
    norm: eqx.nn.LayerNorm
    words: eqx.nn.Embedding
    stacked: eqx.nn.Linear
    own: Array
    shift: Array = eqx.field(metadata=weight_decay.UNDECAYED)
    parts: dict

    def __init__(self):
        self.line = eqx.nn.Linear(3, 4, key=KEY)
        self.image = eqx.nn.Conv2d(3, 4, 2, key=KEY)
        self.attention = eqx.nn.MultiheadAttention(2, 4, use_query_bias=True, key=KEY)
        self.norm = eqx.nn.LayerNorm((3, 4))
        self.words = eqx.nn.Embedding(5, 4, key=KEY)
        self.stacked = eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 4, key=key))(jax.random.split(KEY, 2))
        self.own, self.shift = jnp.ones((2, 2)), jnp.ones((2, 2))
        self.parts = {"kernel": jnp.ones(3), "list": [jnp.ones((2, 2)), None, jnp.ones(())]}


def test_layers_of_equinox_and_of_a_user_decay_by_shape_and_kind():
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
    empty = lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)) if is_shape(leaf) else leaf
    lab = jax.tree.map(empty, eqx.filter_eval_shape(Lab))  # no array is drawn
    decayed = {path for path, decays in _decayed(lab).items() if decays}
    projections = {f"attention/{name}_proj/weight" for name in ("query", "key", "value", "output")}
    assert decayed == {
        "line/weight", "image/weight", *projections, "stacked/weight", "own", "parts/list/0",
    }  # fmt: skip


@pytest.mark.parametrize("optimizer", [optim.AdamW, optim.Adafactor])
def test_a_users_linear_layer_shrinks_without_a_gradient(optimizer):
    layer = eqx.nn.Linear(3, 4, key=KEY)
    built = optimizer(optim.Schedule(0.1, decay="constant"), weight_decay=0.5).build(1)
    updates, _ = built.update(jax.tree.map(jnp.zeros_like, layer), built.init(layer), layer)
    moved = eqx.apply_updates(layer, updates)
    assert jnp.allclose(moved.weight, layer.weight * (1 - 0.1 * 0.5))
    assert jnp.array_equal(moved.bias, layer.bias)


def test_frozen_parts_are_left_out():
    tree = tiny.stage1()
    mask = weight_decay.mask(eqx.filter(tree, step.trainable(tree, ("towers/video",))))
    assert jax.tree.leaves(mask.towers["video"]) == []
    assert any(jax.tree.leaves(mask.towers["text"]))
