"""Write the results table and the reports of a work directory from its results.json."""

import dataclasses
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.recipe import describe
from prismlab.experiments.report import html_report, results_table, table_builder


@dataclasses.dataclass(frozen=True)
class _Config:
    """What a report needs of config.json, which describes an Experiment or an Ablation."""

    name: str
    compare_with: tuple[str, ...] = ()


def tables(workdir: filesystem.Path, *, title: str, reference: tuple[str, ...]) -> results_table.Table:
    """Write table.json, report.md and report.html from the results in a work directory.

    Args:
        workdir: a directory with results.json.
        title: name of the experiment.
        reference: labels of rows that the others are compared with; unfinished rows are skipped.

    Raises:
        UserError: results.json is missing or damaged.
    """
    results = results_table.read_results(workdir / "results.json")
    finished = {entry.label for entry in results}
    logs = [
        results_table.Log(
            entry.label, entry.seed, folder.rpartition("-s")[0], f"stages/{folder}/events.jsonl"
        )
        for entry in results
        for folder in entry.stages
        if (workdir / "stages" / folder / "events.jsonl").exists()
    ]
    table = table_builder.build_table(
        results,
        reference=[label for label in reference if label in finished],
        title=title,
        logs=logs,
        config=filesystem.read(workdir / "config.gin").decode("utf-8", "backslashreplace"),
        address=describe.address(checked_json.read(Any, workdir / "config.json")),
    )
    results_table.write_table(table, workdir / "table.json")
    return html_report.rebuild(workdir)


def again(workdir: filesystem.Path) -> results_table.Table:
    """Rebuild the table and the reports of an existing work directory.

    Args:
        workdir: the --workdir of train or ablate.

    Raises:
        UserError: it has no results, or its files are damaged.
    """
    for name in ("results.json", "config.json", "config.gin"):
        if not (workdir / name).is_file():
            raise errors.UserError(
                f"{workdir} has no {name}; pass the --workdir of a train or ablate run with a finished row"
            )
    config = checked_json.read(_Config, workdir / "config.json")
    return tables(workdir, title=config.name, reference=config.compare_with)
