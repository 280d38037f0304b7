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
        workdir, title, reference: see `build`.

    Raises:
        UserError: results.json or an event log is missing or damaged, or the directory cannot be written.
    """
    table = build(workdir, title=title, reference=reference)
    write(table, workdir, workdir)
    return table


def write(table: results_table.Table, workdir: filesystem.Path, out: filesystem.Path) -> None:
    """Write table.json, report.md and report.html.

    Args:
        table: from `build` or `again`.
        workdir: the work directory of its event logs.
        out: folder to write to, created if missing; `workdir`, or elsewhere if that is read-only.

    Raises:
        UserError: an event log is missing or damaged, or the folder cannot be written.
    """
    # A table names only logs below its folder; the page holds their curves.
    written = table if out == workdir else dataclasses.replace(table, logs=())
    results_table.write_table(written, out / "table.json")
    html_report.write_pages(table, workdir, out)


def build(workdir: filesystem.Path, *, title: str, reference: tuple[str, ...]) -> results_table.Table:
    """Return the table of the results in a work directory.

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
    return table_builder.build_table(
        results,
        reference=[label for label in reference if label in finished],
        title=title,
        logs=logs,
        config=filesystem.read(workdir / "config.gin").decode("utf-8", "backslashreplace"),
        address=describe.address(checked_json.read(Any, workdir / "config.json")),
    )


def again(workdir: filesystem.Path) -> results_table.Table:
    """Rebuild the table of an existing work directory; nothing is written.

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
    return build(workdir, title=config.name, reference=config.compare_with)
