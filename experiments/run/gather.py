"""Write the results table and the reports of a work directory from its results.json."""

from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.recipe import describe
from prismlab.experiments.report import html_report, results_table
from prismlab.experiments.run import work_directory


def tables(workdir: filesystem.Place, *, title: str, reference: tuple[str, ...]) -> results_table.Table:
    """Write table.json, report.md and report.html from the results in a work directory.

    Args:
        workdir: a directory with results.json.
        title: name of the experiment.
        reference: labels of rows that the others are compared with; unfinished rows are skipped.

    Raises:
        UserError: results.json is missing or damaged.
    """
    results = work_directory.read_json(workdir / "results.json")
    finished = {entry["label"] for entry in results}
    logs = [
        {
            "label": entry["label"],
            "seed": entry["seed"],
            "stage": folder.rpartition("-s")[0],
            "events": f"stages/{folder}/events.jsonl",
        }
        for entry in results
        for folder in entry["stages"]
        if (workdir / "stages" / folder / "events.jsonl").exists()
    ]
    table = results_table.build_table(
        results,
        reference=[label for label in reference if label in finished],
        title=title,
        logs=logs,
        config=(workdir / "config.gin").read_text(),
        address=describe.address(work_directory.read_json(workdir / "config.json")),
    )
    results_table.write_table(table, workdir / "table.json")
    return html_report.rebuild(workdir)


def again(workdir: filesystem.Place) -> results_table.Table:
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
    config: Any = work_directory.read_json(workdir / "config.json")
    return tables(workdir, title=config["name"], reference=tuple(config.get("compare_with", ())))
