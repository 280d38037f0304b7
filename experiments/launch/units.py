"""List the units of work of an ablation: each distinct stage once, then the evaluation of each row.

Stages are sorted by depth of their dependencies (init_from, teacher), then by the number of rows that need
them.
"""

import dataclasses
import graphlib

from prismlab.core.io import filesystem
from prismlab.experiments.recipe import describe, recipe, stages


@dataclasses.dataclass(frozen=True)
class Unit:
    """Unit of work: one stage to train, or one row to evaluate with one seed.

    Args:
        name: unique, valid as a file name.
        planned: the stage to train, or the last stage of the row to evaluate.
        row: label of the row to evaluate; "" for training.
        rows: labels of the rows that need it.
        needs: names of the units that must be done first.
    """

    name: str
    planned: stages.Planned
    row: str
    rows: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def told(self) -> str:
        """Description of the unit for messages."""
        if self.row:
            return f"evaluate {self.row!r}, seed {self.planned.seed}"
        return f"train {self.planned.stage.name}, seed {self.planned.seed}, for {len(self.rows)} rows"


def units(root: recipe.Ablation) -> list[Unit]:
    """Return all units in the order in which workers should run them.

    Args:
        root: the ablation.

    Raises:
        UserError: a stage refers to a stage that does not exist.
    """
    training: dict[str, Unit] = {}
    scores: list[Unit] = []
    for seed in root.seeds:
        for label, experiment in root.experiments().items():
            plan = stages.plan(experiment, seed)
            before: tuple[str, ...] = ()
            for planned in plan:
                own = training.get(planned.folder)
                rows = (*own.rows, label) if own else (label,)
                training[planned.folder] = Unit(planned.folder, planned, "", rows, _parents(planned))
                before = (*before, planned.folder)
            mark = describe.address(
                [label, seed, plan[-1].address, describe.describe(dict(experiment.tasks))]
            )
            scores.append(Unit(f"score-{mark}", plan[-1], label, (label,), before))

    return [*_in_order(training), *scores]


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


def _parents(planned: stages.Planned) -> tuple[str, ...]:
    parents = (planned.init_from, planned.teacher)
    return tuple(dict.fromkeys(each.folder for each in parents if isinstance(each, stages.Planned)))


def is_done(unit: Unit, workdir: filesystem.Place, tasks: dict) -> bool:
    """Return whether the work directory contains a unit's result.

    Args:
        unit: the unit.
        workdir: the shared work directory.
        tasks: evaluation tasks of the row; unused for training.
    """
    if not unit.row:
        return (workdir / "stages" / unit.name / "done.json").exists()
    addresses = [describe.address([unit.planned.address, describe.describe(each)]) for each in tasks.values()]
    return all((workdir / "scores" / f"{address}.json").exists() for address in addresses)
