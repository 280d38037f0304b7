"""Replay steps of a trained stage from one of its checkpoints, in memory: nothing is written."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from prismlab.core import trees
from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed, sharding
from prismlab.core.train.checkpoints import checkpoint_items
from prismlab.core.train.loops import loop
from prismlab.core.train.steps import step
from prismlab.experiments.certificate import contents, step_digests
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a replay computed.

    Args:
        steps: step -> its digest.
        arrays: step -> path -> array of the learner, of the steps that were asked for.
    """

    steps: Mapping[int, contents.StepDigest]
    arrays: Mapping[int, Mapping[str, np.ndarray]]


def replay(
    runner: engine.Engine, planned: stages.Planned, folder: filesystem.Path, start: int, last: int, *,
    devices: Mesh, wanted: frozenset[int] = frozenset(),
    recorded: Mapping[int, contents.StepDigest] | None = None,
) -> Replayed:  # fmt: skip
    """Train the steps after a checkpoint again, with the program that the training loop runs.

    It ends at a batch that is not the recorded one: all numbers after it differ.

    Args:
        runner: an engine whose work directory holds the parents of the stage.
        planned: the stage.
        folder: its folder.
        start: step of the checkpoint to start from; 0 starts from the initial state.
        last: last step to replay.
        devices: the mesh.
        wanted: steps whose parameters are kept.
        recorded: step -> its digest, of which the batch and its rows are compared.

    Raises:
        UserError: an input of the stage or the checkpoint is missing or damaged.
    """
    begun = runner.begin(planned, devices)
    training, rules = begun.training, planned.stage.run.rules
    state = begun.state if start == 0 else _restored(folder, start, begun.state)
    compiled = step.compile_step(
        state, training.optimizer, training.frozen, training.teacher, mesh=devices, rules=rules,
        accumulate=training.accumulate,
    )  # fmt: skip
    arrays: Any = distributed.put(eqx.filter(state, eqx.is_array), sharding.of(state, devices, rules))
    teacher = training.teacher
    teacher_arrays = distributed.put(eqx.filter(teacher, eqx.is_array), sharding.of(teacher, devices, rules))
    found: dict[int, contents.StepDigest] = {}
    kept: dict[int, dict[str, np.ndarray]] = {}
    for at, batch in enumerate(loop.batches_of(begun.stream.read(start)), start + 1):
        before, own = (recorded or {}).get(at), len(batch["weight"])
        own = min(own, before.rows) if before is not None and before.rows else own
        digest = step_digests.of_batch({name: value[:own] for name, value in batch.items()})
        if before is not None and before.batch not in (None, digest):
            found[at] = contents.StepDigest(at, digest, own)
            break
        placed = distributed.place(step.HostBatch(**batch), devices, local=training.local)
        arrays, named = compiled(arrays, placed, teacher_arrays)
        loss, norm = float(named["loss"].value), float(named["gradient_norm"].value)
        parameters = step_digests.of_learner(arrays.learner)
        found[at] = contents.StepDigest(at, digest, own, loss, norm, parameters)
        if at in wanted:
            kept[at] = {
                name: np.array(jax.device_get(leaf)) for name, leaf in trees.flatten(arrays.learner).items()
            }
        if at >= last:
            break
    return Replayed(found, kept)


def _restored(folder: filesystem.Path, at: int, like: step.TrainState) -> step.TrainState:
    """Return the state of a checkpoint, which must be undamaged."""
    items, _ = checkpoint_items.read_items(folder / "checkpoints", at, ("learner", "optimizer"))
    rest: Any = {"opt_state": like.opt_state, "key": jax.random.key_data(like.key), "step": like.step}
    rest = trees.replace(rest, {name: jnp.asarray(value) for name, value in items["optimizer"].items()})
    tree = trees.replace(like.learner, {name: jnp.asarray(value) for name, value in items["learner"].items()})
    return step.TrainState(rest["step"], tree, rest["opt_state"], jax.random.wrap_key_data(rest["key"]))
