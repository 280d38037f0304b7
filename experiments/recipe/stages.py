"""The stages of an experiment, resolved: parents, address and folder of each."""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

from prismlab.core import errors, trees
from prismlab.core.io import filesystem
from prismlab.core.train import checkpoint
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.released import released_weights

# What a stage may start or learn from: a stage planned here, a stage's folder, released weights.
Parent: TypeAlias = "Planned | filesystem.Place | released_weights.Released | None"
# Fields that say where the arrays of a stage lie: a checkpoint continues on any devices.
PLACEMENT = ("layout", "rules")
# Fields that change how a stage is watched or where its arrays lie, never what it computes.
BOOKKEEPING = ("checkpoint_every", "checkpoint_minutes", "log_every", "profile", *PLACEMENT)


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of one experiment and seed, with everything that decides its result.

    Args:
        stage: the configuration.
        seed: the experiment's seed.
        address: 16 hex digits that stand for the result.
        init_from: whose weights it starts from.
        teacher: whose towers are the teacher.
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
        UserError: a stage starts from or learns from something that is not there.
    """
    planned: dict[str, Planned] = {}
    for stage in experiment.stages:
        parents = {
            field: _parent(getattr(stage, field), f"stage {stage.name!r}: {field}", planned)
            for field in ("init_from", "teacher")
        }
        tree = describe.describe(stage)
        tree = {name: value for name, value in tree.items() if name not in BOOKKEEPING}
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
