"""From a work directory to its table and report: reads results.json, writes the three files again."""

from typing import Any

from core import errors, places
from experiments import describe, pages, report, storage


def tables(workdir: places.Place, *, title: str, reference: tuple[str, ...]) -> report.Table:
    """Write table.json, report.md and report.html from the results that a work directory holds.

    Args:
        workdir: a directory with results.json.
        title: name of the experiment.
        reference: labels of rows that the others are compared with; rows not finished yet are left out.

    Raises:
        UserError: results.json is missing or damaged.
    """
    results = storage.read_json(workdir / "results.json")
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
    table = report.build_table(
        results,
        reference=[label for label in reference if label in finished],
        title=title,
        logs=logs,
        config=(workdir / "config.gin").read_text(),
        address=describe.address(storage.read_json(workdir / "config.json")),
    )
    report.write_table(table, workdir / "table.json")
    return pages.rebuild(workdir)


def again(workdir: places.Place) -> report.Table:
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
    config: Any = storage.read_json(workdir / "config.json")
    return tables(workdir, title=config["name"], reference=tuple(config.get("compare_with", ())))
