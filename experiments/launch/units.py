"""What there is to do in an ablation: every different stage once, then every row's evaluation.

Stages that others start from or learn from come first, those that most rows wait for before the others.
"""

import dataclasses

from prismlab.core.io import filesystem
from prismlab.experiments.recipe import describe, recipe, stages


@dataclasses.dataclass(frozen=True)
class Unit:
    """One piece of work that one worker does.

    Args:
        name: unique, fit for a file name.
        planned: the stage to train, or the last stage of the row to evaluate.
        row: label of the row to evaluate; "" for training.
        rows: labels of rows that wait for it.
        needs: names of units that must be done before.
    """

    name: str
    planned: stages.Planned
    row: str
    rows: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def told(self) -> str:
        """The unit in words."""
        if self.row:
            return f"evaluate {self.row!r}, seed {self.planned.seed}"
        return f"train {self.planned.stage.name}, seed {self.planned.seed}, for {len(self.rows)} rows"


def units(root: recipe.Ablation) -> list[Unit]:
    """Return all units in the order in which they are best done.

    Args:
        root: the ablation.

    Raises:
        UserError: a stage starts from something that is not there.
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

    def depth(unit: Unit) -> int:
        return 1 + max((depth(training[name]) for name in unit.needs), default=0)

    ordered = sorted(training.values(), key=lambda unit: (depth(unit), -len(unit.rows)))
    return [*ordered, *scores]


def _parents(planned: stages.Planned) -> tuple[str, ...]:
    parents = (planned.init_from, planned.teacher)
    return tuple(dict.fromkeys(each.folder for each in parents if isinstance(each, stages.Planned)))


def is_done(unit: Unit, workdir: filesystem.Place, tasks: dict) -> bool:
    """Return whether a unit's result lies in the work directory.

    Args:
        unit: the unit.
        workdir: the shared work directory.
        tasks: evaluations of the unit's row, for an evaluation.
    """
    if not unit.row:
        return (workdir / "stages" / unit.name / "done.json").exists()
    addresses = [describe.address([unit.planned.address, describe.describe(each)]) for each in tasks.values()]
    return all((workdir / "scores" / f"{address}.json").exists() for address in addresses)
