"""A stage before its first step: its batches, its initial state and what each step computes."""

import dataclasses
import pathlib
from typing import Any

from jax.sharding import Mesh

from prismlab.core import errors, trees, types
from prismlab.core.parallel import distributed, mesh
from prismlab.core.train import learner
from prismlab.core.train.loops import loop
from prismlab.core.train.steps import accumulate, step
from prismlab.data.loader import stream
from prismlab.experiments.cost import step_flops
from prismlab.experiments.recipe.addresses import initial_weights, stages
from prismlab.experiments.run import host_memory, initial_state


@dataclasses.dataclass(frozen=True)
class Start:
    """What the training loop is given.

    Args:
        devices: the mesh.
        stream: batches of this host.
        built: the learner with its initial weights.
        taken: number of its arrays that were taken from `init_from`.
        state: the state before the first step.
        training: what a step computes.
    """

    devices: Mesh
    stream: stream.Stream
    built: learner.Learner
    taken: int
    state: step.TrainState
    training: loop.Training


def prepare(
    planned: stages.Planned, devices: Mesh, cache: pathlib.Path, teacher: learner.Towers | None, first: Any
) -> Start:
    """Build the start of a stage.

    Args:
        planned: the stage.
        devices: the mesh.
        cache: directory shared by runs.
        teacher: the frozen teacher towers, or None.
        first: path -> array of `init_from`, or None.

    Raises:
        UserError: the batch, the weights or the vocabulary do not fit.
    """
    stage = planned.stage
    mesh.check_batch(stage.batch_size, devices, stage.accumulate)
    host, hosts = distributed.host_rows(devices)
    opened = stage.data.open(
        stage.batch_size, stage.steps, planned.seed, planned.position, cache, host=host, hosts=hosts
    )
    optimizer = stage.optimizer.build(stage.steps)
    with host_memory.on_host():
        teacher = learner.in_compute_dtype(teacher)
        built, taken = initial_state.build(stage, planned.seed, teacher, first)
        initial_weights.check(stage.init_from, trees.flatten(built), first or ())
        state = initial_state.state(stage, planned.seed, planned.position, built, optimizer)
    accumulate.check(built, stage.batch_size, stage.accumulate)
    if stage.steps:  # here again: a launcher checks rows on one host, whatever the hosts of a unit
        for each in built.objectives.values():
            each.check_batch(stage.batch_size)
    check_vocabulary(built, opened.vocabulary)
    training = loop.Training(
        teacher, optimizer, stage.optimizer.schedule.build(stage.steps), stage.steps, stage.frozen,
        stage.accumulate, step_flops.of_step(planned), local=True,
    )  # fmt: skip
    return Start(devices, opened, built, taken, state, training)


def check_vocabulary(built: learner.Learner, vocabulary: int) -> None:
    """Check that the text tower's embedding table covers the tokenizer's vocabulary.

    Raises:
        UserError: the table is too small; names both sizes.
    """
    tower = built.towers.get("text")
    if isinstance(tower, types.CaptionTower) and tower.vocabulary < vocabulary:
        raise errors.UserError(
            f"text.TextTower.vocabulary={tower.vocabulary} is smaller than the tokenizer's "
            f"{vocabulary} pieces; raise it or lower tokenizer.Tokenizer.vocabulary"
        )
