"""List the units of work of an ablation: each distinct stage once, then the evaluation of each row.

Stages are sorted by depth of their dependencies (init_from, teacher), then by the number of rows that need
them.
"""

import dataclasses
import graphlib
from collections.abc import Sequence

from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.recipe import describe, recipe, resources
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.store import store


@dataclasses.dataclass(frozen=True)
class Unit:
    """Unit of work: one stage to train, or one row to evaluate with one seed.

    Args:
        name: unique, valid as a file name.
        planned: the stage to train, or the last stage of the row to evaluate.
        row: label of the row to evaluate; "" for training.
        rows: labels of the rows that need it.
        needs: names of the units that must be done first.
        evaluations: evaluations of the row; empty for training.
        reserve: what it reserves of a machine.
    """

    name: str
    planned: stages.Planned
    row: str
    rows: tuple[str, ...]
    needs: tuple[str, ...]
    evaluations: tuple[stages.Evaluation, ...] = ()
    reserve: resources.Resources = dataclasses.field(default_factory=resources.Resources)

    @property
    def lease(self) -> str:
        """Name of the lease on it: of a stage its address, which all work directories of a store share."""
        return self.name if self.row else self.planned.address

    @property
    def told(self) -> str:
        """Description of the unit for messages."""
        if self.row:
            return f"evaluate {self.row!r}, seed {self.planned.seed}"
        return f"train {self.planned.stage.name}, seed {self.planned.seed}, for {len(self.rows)} rows"


def units(root: recipe.Ablation, prints: fingerprints.Fingerprints | None = None) -> list[Unit]:
    """Return all units in the order in which workers should run them.

    Args:
        root: the ablation.
        prints: fingerprints of this run; None leaves sources out (see `fingerprints.Fingerprints`).

    Raises:
        UserError: a stage refers to a stage that does not exist, or data is missing.
    """
    training: dict[str, Unit] = {}
    scores: list[Unit] = []
    experiments = root.experiments()
    for line in stages.lines(experiments, root.seeds, prints):
        for planned in line.stages:
            own = training.get(planned.address)
            rows = (*own.rows, line.label) if own else (line.label,)
            needs = tuple(dict.fromkeys(training[each.address].name for each in planned.parents))
            first = own.planned if own else planned  # stages of several names may have one address
            training[planned.address] = Unit(
                first.folder, first, "", rows, needs, reserve=first.stage.reserve
            )  # fmt: skip
        before = tuple(training[planned.address].name for planned in line.stages)
        judged = [each.address for each in line.evaluations]
        name = f"score-{describe.address([line.label, line.seed, before[-1], judged])}"
        reserve = experiments[line.label].reserve
        scores.append(
            Unit(name, line.stages[-1], line.label, (line.label,), before, line.evaluations, reserve)
        )

    return [*_in_order({unit.name: unit for unit in training.values()}), *scores]


def named(name: str, known: Sequence[Unit]) -> Unit | None:
    """Return the unit of a name, or the one that runs the evaluation of that name; None if there is none.

    Args:
        name: of a unit, or of an evaluation as `ablate --dry-run` prints it.
        known: all units of the ablation.
    """
    for unit in known:
        stage = not unit.row and name.endswith(f"-{unit.planned.address}")  # trained under another name
        if name == unit.name or stage or name in [each.label for each in unit.evaluations]:
            return unit
    return None


def _in_order(training: dict[str, Unit]) -> list[Unit]:
    """Return the units by depth of their dependencies, and in each level by the number of rows."""
    sorter = graphlib.TopologicalSorter({name: unit.needs for name, unit in training.items()})
    sorter.prepare()
    ordered: list[Unit] = []
    while sorter.is_active():
        level = set(sorter.get_ready())
        ordered += sorted(
            (training[name] for name in training if name in level), key=lambda unit: -len(unit.rows)
        )
        sorter.done(*level)
    return ordered


def is_done(unit: Unit, kept: store.Store) -> bool:
    """Return whether the store contains a unit's result.

    Args:
        unit: the unit.
        kept: the store of the work directory.
    """
    if not unit.row:
        return stage_folder.left_of(kept.stage_folder(unit.planned.address, unit.name)) is None
    return all(kept.score_path(each.address).exists() for each in unit.evaluations)
