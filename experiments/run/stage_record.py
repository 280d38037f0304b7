"""What is recorded of a stage besides its numbers: stage.json, and the notes of its checkpoints."""

from typing import Any

import jax

from prismlab.core import trees
from prismlab.core.io import filesystem
from prismlab.core.train import objective_state
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import stage_start
from prismlab.experiments.store import installed, views


def facts(planned: stages.Planned, begun: stage_start.Start, workdir: filesystem.Path) -> dict[str, Any]:
    """Return the content of stage.json.

    Args:
        planned: the stage.
        begun: its start.
        workdir: the work directory that trains it.
    """
    return {
        "name": planned.stage.name,
        "seed": planned.seed,
        "address": planned.address,
        "parameters": trees.count(objective_state.without(begun.built)),
        "clips": begun.stream.clips,
        "megabytes_in_flight": round(begun.stream.bytes_in_flight / 2**20, 1),
        "devices": [str(device.device_kind) for device in jax.devices()],
        "mesh": dict(begun.devices.shape),
        "processes": jax.process_count(),
        "versions": installed.versions(),
        "writer": views.writer(workdir),
        "inputs": dict(planned.inputs),
    }


def meta(planned: stages.Planned) -> dict[str, Any]:
    """Return what is stored with each checkpoint of a stage."""
    encoder = planned.stage.encoder
    named = {} if encoder is None else {checkpoint.ENCODER: encoder}
    return {"address": planned.address, "stage": planned.stage.name, "seed": planned.seed, **named}
