"""Resolve the stages of an experiment: initial weights, teacher, address and folder of each."""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

from prismlab.core import errors, trees
from prismlab.core.io import filesystem
from prismlab.core.train import checkpoint
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.released import released_weights

# Initial weights or teacher of a stage: a stage planned here, a stage's folder, or released weights.
Parent: TypeAlias = "Planned | filesystem.Place | released_weights.Released | None"
# The field of a stage with runtime settings (`loop.Settings`); excluded from the address.
RUN = "run"


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of one experiment and seed, with its resolved dependencies.

    Args:
        stage: the configuration.
        seed: the experiment's seed.
        address: 16 hex digits that identify the result.
        init_from: source of the initial weights.
        teacher: source of the teacher towers.
    """

    stage: recipe.Stage
    seed: int
    address: str
    init_from: Parent
    teacher: Parent

    @property
    def folder(self) -> str:
        """Name of its directory under workdir/stages."""
        return f"{self.stage.name}-s{self.seed}-{self.address}"


def plan(experiment: recipe.Experiment, seed: int) -> list[Planned]:
    """Resolve the stages of an experiment, in order.

    Raises:
        UserError: `init_from` or `teacher` of a stage does not exist.
    """
    planned: dict[str, Planned] = {}
    for stage in experiment.stages:
        parents = {
            field: _parent(getattr(stage, field), f"stage {stage.name!r}: {field}", planned)
            for field in ("init_from", "teacher")
        }
        tree = describe.describe(stage)
        tree = {name: value for name, value in tree.items() if name != RUN}
        tree |= {field: _identity(parent) for field, parent in parents.items()}
        planned[stage.name] = Planned(stage, seed, describe.address([tree, seed]), **parents)
    return list(planned.values())


def _parent(
    name: str | released_weights.Released | None, where: str, planned: Mapping[str, Planned]
) -> Parent:
    if name is None or isinstance(name, released_weights.Released):
        return name
    if name in planned:
        return planned[name]
    folder = filesystem.reach(filesystem.place(name)).expanduser()
    if checkpoint.newest(folder / "checkpoints") is None:
        raise errors.UserError(
            f"{where}={name!r} is neither an earlier stage of this experiment {list(planned)} nor a folder "
            "with finished checkpoints"
        )
    return folder


def _identity(parent: Parent) -> str | None:
    if isinstance(parent, released_weights.Released):
        return parent.digest()
    if isinstance(parent, filesystem.Place):
        return trees.digest(checkpoint.read_learner(parent / "checkpoints")[1])
    return parent.address if parent else None
