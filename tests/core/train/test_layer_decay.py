"""Layer-wise decay: who is how far from the output, and what that does to an update."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab.core import trees
from prismlab.core.towers import presets, video_encoder
from prismlab.core.train import layer_decay, optim

SIZE = presets.Size(dim=4, heads=1, mlp_dim=4, spatial_layers=3, temporal_layers=2, text_layers=1)


@functools.cache
def _tree():
    make = functools.partial(video_encoder.FactorizedVideoEncoder, SIZE, 2, 4, 2)
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)
    shapes = eqx.filter(eqx.filter_eval_shape(make, key=jax.random.key(0)), is_shape)
    random = np.random.default_rng(0)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), shapes)
    return {"towers": {"video": {"encoder": drawn}}, "head": jnp.ones(3)}


def test_distances_count_the_layers_behind():
    away = trees.flatten(jax.tree.map(jnp.asarray, layer_decay.distances(_tree())))
    at = lambda name: np.ravel(away[f"towers/video/encoder/{name}"]).tolist()
    assert at("patch_projection/kernel") == at("spatial_positions/table") == [6]
    assert at("spatial/blocks/feed/inner/kernel") == [5, 4, 3]
    assert at("spatial_norm/scale") == at("temporal_positions/table") == [3]
    assert at("temporal/blocks/attention/query/w") == [2, 1]
    assert at("temporal_norm/bias") == np.ravel(away["head"]).tolist() == [0]


def test_layers_behind_the_encoder_are_counted_and_objectives_are_not():
    stack = {"blocks": {"w": jnp.ones((2, 3))}}
    tree = {
        "towers": {"video": {"encoder": {"temporal": stack}, "auxiliary": stack}},
        "objectives": {"local": {"transformer": stack}},
    }
    away = layer_decay.distances(tree)
    assert away["towers"]["video"]["auxiliary"]["blocks"]["w"].ravel().tolist() == [2, 1]
    assert away["towers"]["video"]["encoder"]["temporal"]["blocks"]["w"].ravel().tolist() == [4, 3]
    assert away["objectives"]["local"]["transformer"]["blocks"]["w"].tolist() == 0


@pytest.mark.parametrize("kind", [optim.AdamW, optim.Adafactor])
def test_an_update_is_the_plain_one_times_the_factor(kind):
    tree = _tree()
    gradients = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), tree)

    def update(decay):
        made = kind(schedule=optim.Schedule(decay="constant"), clip_norm=None, layer_decay=decay).build(5)
        return jax.jit(lambda tree: made.update(gradients, made.init(tree), tree)[0])(tree)

    plain, decayed = update(1.0), update(0.5)
    factors = jax.tree.map(lambda away: 0.5 ** np.asarray(away), layer_decay.distances(tree))
    for wanted, got in zip(
        jax.tree.leaves(jax.tree.map(lambda u, f: np.asarray(u) * f, plain, factors)),
        jax.tree.leaves(decayed),
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    changed = [not np.allclose(*pair) for pair in zip(jax.tree.leaves(plain), jax.tree.leaves(decayed))]
    assert sum(changed) > len(changed) // 2


def test_a_whole_learner_and_frozen_parts_are_fine():
    tree = eqx.filter(tiny.stage1(), eqx.is_array)
    part = eqx.tree_at(lambda t: t.towers["video"].encoder.temporal, tree, None)
    for each in (tree, part):
        made = optim.AdamW(layer_decay=0.75).build(3)
        moved = jax.eval_shape(lambda tree, made=made: made.update(tree, made.init(tree), tree)[0], each)
        assert jax.tree.structure(moved) == jax.tree.structure(each)


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5])
def test_a_decay_that_cannot_be_meant_is_refused(decay):
    with pytest.raises(ValueError, match="layer_decay"):
        optim.AdamW(layer_decay=decay)
