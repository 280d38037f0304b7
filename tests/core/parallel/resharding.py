"""Saves or restores a split state: `resharding.py save|restore DEVICES DIRECTORY`; prints its digest."""

import os
import pathlib
import sys

what, devices, directory = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
os.environ["JAX_PLATFORMS"] = "cpu"

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import tiny  # noqa: E402

from prismlab.core import trees  # noqa: E402
from prismlab.core.parallel import mesh, sharding  # noqa: E402
from prismlab.core.train import optim  # noqa: E402
from prismlab.core.train.checkpoints import checkpoint  # noqa: E402
from prismlab.core.train.steps import step  # noqa: E402

grid, rules = mesh.Layout(1, -1, 1).make(), sharding.Rules(smallest=1)
optimizer = optim.AdamW(optim.Schedule(1e-3, 2)).build(20)
# Another seed where a state is restored: what comes out equal was read, not drawn.
state = step.init(tiny.stage1(0 if what == "save" else 1), optimizer, (), key=jax.random.key(3))
store = checkpoint.Checkpoints(directory)
if what == "save":
    arrays, static = eqx.partition(state, eqx.is_array)
    state = eqx.combine(jax.device_put(arrays, sharding.of(state, grid, rules)), static)
    store.save(state, {})
    store.wait()
else:
    state, _ = store.restore(state, grid, rules)
spread = max(
    len(leaf.sharding.device_set) for leaf in jax.tree.leaves(eqx.filter(state.learner, eqx.is_array))
)
assert spread == devices, (spread, devices)
print(trees.digest({name: jax.device_get(leaf) for name, leaf in trees.flatten(state.learner).items()
                    if eqx.is_array(leaf)}))  # fmt: skip
