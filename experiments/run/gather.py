"""From a work directory to its table and report: reads results.json, writes the three files again."""

from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.recipe import describe
from prismlab.experiments.report import html_report, results_table
from prismlab.experiments.run import work_directory


def tables(workdir: filesystem.Place, *, title: str, reference: tuple[str, ...]) -> results_table.Table:
    """Write table.json, report.md and report.html from the results that a work directory holds.

    Args:
        workdir: a directory with results.json.
        title: name of the experiment.
        reference: labels of rows that the others are compared with; rows not finished yet are left out.

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
    """Rebuild the table and the report of a work directory from that directory alone.

    Args:
        workdir: what train or ablate was given.

    Raises:
        UserError: it holds no results, or its files are damaged.
    """
    for name in ("results.json", "config.json", "config.gin"):
        if not (workdir / name).is_file():
            raise errors.UserError(
                f"{workdir} has no {name}; give the --workdir of a finished row of train or ablate"
            )
    config: Any = work_directory.read_json(workdir / "config.json")
    return tables(workdir, title=config["name"], reference=tuple(config.get("compare_with", ())))
