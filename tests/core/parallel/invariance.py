"""Prints the losses of twenty steps of both stages: `python invariance.py DEVICES replica,data,model`."""

import json
import os
import sys

devices, layout = int(sys.argv[1]), tuple(map(int, sys.argv[2].split(",")))
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
os.environ["JAX_PLATFORMS"] = "cpu"

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import tiny  # noqa: E402

from prismlab.core.parallel import mesh, sharding  # noqa: E402
from prismlab.core.train import optim  # noqa: E402
from prismlab.core.train.steps import step  # noqa: E402

jax.config.update("jax_disable_most_optimizations", True)
grid, rules = mesh.Layout(*layout).make(), sharding.Rules(smallest=1)
optimizer = optim.AdamW(optim.Schedule(1e-3, 2)).build(20)
for tree, teacher in ((tiny.stage1(), None), (tiny.stage2(), tiny.teacher())):
    state = step.init(tree, optimizer, (), key=jax.random.key(3))
    compiled = step.compile_step(state, optimizer, (), teacher, mesh=grid, rules=rules)
    arrays = jax.device_put(eqx.filter(state, eqx.is_array), sharding.of(state, grid, rules))
    frozen = jax.device_put(eqx.filter(teacher, eqx.is_array), sharding.of(teacher, grid, rules))
    losses = []
    for index in range(20):
        batch = jax.device_put(step.HostBatch(**tiny.host_batch(index, size=8)), mesh.split(grid))
        arrays, named = compiled(arrays, batch, frozen)
        losses.append(float(named["loss"].value))
    print(json.dumps(losses))
