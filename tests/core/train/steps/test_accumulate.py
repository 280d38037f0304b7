"""Encoded in parts, a batch gives the same loss, the same metrics and the same step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from prismlab.core import errors, trees
from prismlab.core.parallel import mesh, sharding
from prismlab.core.train import learner
from prismlab.core.train.steps import accumulate, step

DESCENT = optax.sgd(1.0)


def _pooled():
    """Return a learner whose loss couples the vectors of all examples, and whose masks are drawn."""
    return learner.build(tiny.QUICK, tiny.STAGE1, None, key=jax.random.key(0))


def _step(tree, teacher, parts):
    devices = mesh.make()
    state = step.init(tree, DESCENT, (), key=jax.random.key(3))
    batch = tiny.host_batch(1, size=8)
    batch["weight"][[1, 2, 5]] = 0  # placeholders, more in one part than in the other
    arrays = jax.tree.map(jnp.copy, eqx.filter(state, eqx.is_array))
    arrays = jax.device_put(arrays, sharding.of(state, devices))
    batch = jax.device_put(step.HostBatch(**batch), mesh.split(devices))
    compiled = step.compile_step(state, DESCENT, (), teacher, mesh=devices, accumulate=parts)
    arrays, named = compiled(arrays, batch, eqx.filter(teacher, eqx.is_array))
    return trees.flatten(arrays.learner), {name: mean.value for name, mean in named.items()}


@pytest.mark.parametrize("stage", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_in_parts_it_is_the_same_step(stage):
    tree, teacher = (_pooled(), None) if stage == 1 else (tiny.stage2(), tiny.teacher())
    (whole, named), (parts, other) = (_step(tree, teacher, count) for count in (1, 2))
    assert named.keys() == other.keys()
    for name in named:
        np.testing.assert_allclose(other[name], named[name], atol=1e-5, err_msg=name)
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5, err_msg=name)


def test_what_cannot_be_accumulated_is_refused():
    accumulate.check(_pooled(), 8, 4)
    with pytest.raises(errors.UserError, match=r"accumulate=3 does not divide batch_size=8; use 2 or 4"):
        accumulate.check(_pooled(), 8, 3)
    tree = tiny.stage2()
    whitened = eqx.tree_at(lambda t: t.objectives["local"].whiten_targets, tree, True)
    with pytest.raises(errors.UserError, match=r"'local' couples the tokens .* whiten_targets=False"):
        accumulate.check(whitened, 8, 2)
    accumulate.check(whitened, 8, 1)
