"""Evaluation: a list of tasks for one frozen encoder, root of the gin files in `experiments/gin/eval/`."""

import dataclasses
from collections.abc import Mapping, Sequence

from prismlab.core import errors, keys
from prismlab.experiments.tasks import task


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Tasks that `prismlab eval` runs on an encoder.

    Args:
        tasks: name -> task, in the order of the table.
        name: title of the table.
        seeds: each task is run with every seed, and scores are averaged.
    """

    tasks: Mapping[str, task.Task]
    name: str = "evaluation"
    seeds: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        if not self.tasks or not self.seeds:
            raise errors.UserError("evaluation.Evaluation: give at least one task and one seed")
        for seed in self.seeds:
            keys.check_seed(seed)
