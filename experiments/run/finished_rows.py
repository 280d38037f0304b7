"""Results of the rows of a run whose evaluations are done, by this or any other process."""

from collections.abc import Sequence

from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import work_directory


def write(runner: engine.Engine, lines: Sequence[stages.Line]) -> tuple[int, int]:
    """Write results.json of the rows and seeds that are done; nothing is trained or evaluated.

    Args:
        runner: engine of the work directory.
        lines: rows and seeds of the run.

    Returns:
        How many are done, and how many are not.
    """
    results = [
        runner.entry(line, runner.score(line.stages[-1], line.evaluations))
        for line in lines
        if all(runner.kept.score_path(each.address).exists() for each in line.evaluations)
    ]
    if results:
        work_directory.record(runner.workdir / "results.json", results)
    return len(results), len(lines) - len(results)
