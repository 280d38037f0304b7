"""Select the stages of a recipe to plan, and vary their batch size and rematerialization policy."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from prismlab.core.train import learner
from prismlab.experiments.cost import abstract_step, variants
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.addresses import stages

# Fields of a stage that do not change how its step compiles.
UNSHAPED = ("name", "data", "steps", "init_from", "run")


@dataclasses.dataclass(frozen=True)
class Job:
    """One stage to plan, and the rows that use it.

    Args:
        row: label of the first row that uses it.
        experiment: the experiment of that row.
        stage: the configuration.
        steps: total steps over all rows and seeds; a stage shared by rows counts once.
        rows: labels of all rows that use it.
    """

    row: str
    experiment: recipe.Experiment
    stage: recipe.Stage
    steps: int
    rows: tuple[str, ...]


def rows_of(root: Any) -> dict[str, recipe.Experiment]:
    """Return label -> experiment of an Experiment or an Ablation."""
    return root.experiments() if isinstance(root, recipe.Ablation) else {root.name: root}


def jobs(root: Any) -> list[Job]:
    """Return one job for each stage that compiles differently, with its total number of steps.

    Args:
        root: Experiment or Ablation; a stage shared by rows is trained once for each seed.
    """
    seeds = root.seeds if isinstance(root, recipe.Ablation) else (root.seed,)
    found: dict[str, Job] = {}
    trained: set[str] = set()
    for label, experiment in rows_of(root).items():
        for seed in seeds:
            for planned in stages.plan(experiment, seed):
                stage = planned.stage
                mark = shape_of(stage)
                job = found.get(mark) or Job(label, experiment, stage, 0, ())
                steps = 0 if planned.address in trained else stage.steps
                trained.add(planned.address)
                rows = tuple(dict.fromkeys((*job.rows, label)))
                found[mark] = dataclasses.replace(job, steps=job.steps + steps, rows=rows)
    return [job for job in found.values() if job.steps]


def shape_of(stage: recipe.Stage) -> str:
    """Return a hash that is equal for two stages if they compile to the same program."""
    tree = describe.describe(stage)
    shaping = {name: value for name, value in tree.items() if name not in UNSHAPED}
    placed = [describe.describe(each) for each in (stage.run.layout, stage.run.rules)]
    return describe.address([shaping, placed])


def stage_of(asked: Mapping[str, Any]) -> tuple[recipe.Stage, dict[str, learner.Learner]]:
    """Return the stage of a request, with its batch size and remat policy, and the abstract learners.

    Args:
        asked: file, bindings, row, stage, batch_size, remat: see `compiled.Request`.
    """
    root = strict.load(asked["file"], list(asked["bindings"])).root
    experiment = rows_of(root)[asked["row"]]
    changed = tuple(
        variants.varied(stage, asked["batch_size"], asked["remat"]) if stage.name == asked["stage"] else stage
        for stage in experiment.stages
    )
    experiment = dataclasses.replace(experiment, stages=changed)
    return next(s for s in changed if s.name == asked["stage"]), abstract_step.learners(experiment)
