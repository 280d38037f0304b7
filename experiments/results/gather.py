"""Write the results table and the reports of a work directory from its results.json."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments import claim_parts
from prismlab.experiments.certificate import certify, statement
from prismlab.experiments.recipe import describe, scales
from prismlab.experiments.report import compute_plot, forest, html_report, latex_table, stage_logs
from prismlab.experiments.results import page_content, stage_certificates
from prismlab.experiments.statistics import (
    claim_verdicts,
    item_scores,
    results_table,
    scale_curves,
    table_builder,
)
from prismlab.experiments.store import installed, matched_rows, store


@dataclasses.dataclass(frozen=True)
class _Config:
    """What a report needs of config.json, which describes an Experiment or an Ablation."""

    name: str
    compare_with: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    claims: tuple[claim_parts.Declared, ...] = ()
    matters: float = 0.02
    looks: tuple[int, ...] = ()
    rows: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def design(self) -> scale_curves.Design | None:
        """The scales of an Ablation, or None without."""
        if not self.scales:
            return None
        return scale_curves.Design(scales.labels(self.rows, self.scales), self.compare_with)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """The table of a work directory and what it was built from.

    Args:
        table: the table.
        results: content of results.json.
        items: outcomes of single items.
    """

    table: results_table.Table
    results: tuple[results_table.Result, ...]
    items: item_scores.Found


def tables(
    workdir: filesystem.Path, prepare: Callable[[Gathered], None] = lambda found: None
) -> results_table.Table:
    """Write table.json, report.md and report.html from the results in a work directory.

    Args:
        workdir: see `build`.
        prepare: called before the page is written, such as to draw its pictures.

    Raises:
        UserError: results.json or an event log is missing or damaged, or the directory cannot be written.
    """
    found = build(workdir)
    prepare(found)
    write(found, workdir, workdir)
    return found.table


def write(found: Gathered, workdir: filesystem.Path, out: filesystem.Path) -> None:
    """Write table.json, report.md and report.html.

    Args:
        found: from `build` or `again`.
        workdir: the work directory of its event logs.
        out: folder to write to, created if missing; `workdir`, or elsewhere if that is read-only.

    Raises:
        UserError: an event log is missing or damaged, or the folder cannot be written.
    """
    # A table names only logs below its folder; the page holds their curves.
    home = store.of(workdir).home
    table = found.table
    written = table if out == home else dataclasses.replace(table, logs=())
    results_table.write_table(written, out / "table.json")
    logs = stage_logs.read(home, table)
    facts = page_content.collect(workdir, home, table, found.results, found.items, logs)
    facts = dataclasses.replace(
        facts, certificate=statement.NAME
    )  # written after the page, of which it has the digest
    html_report.write_pages(table, logs, out, facts)
    _certify(table, workdir, out)


def write_latex(table: results_table.Table, out: filesystem.Path) -> list[str]:
    """Write the table as LaTeX and the forest plot as PDF, for a paper.

    Args:
        table: the table.
        out: folder to write to, created if missing.

    Returns:
        Names of the files: "table.tex", and "forest.pdf" if two rows were compared.

    Raises:
        UserError: the folder cannot be written.
    """
    filesystem.write_atomic(out / "table.tex", latex_table.text(table).encode())
    panels = forest.panels(table)
    if not panels:
        return ["table.tex"]
    filesystem.write_atomic(out / "forest.pdf", forest.pdf(panels))
    return ["table.tex", "forest.pdf"]


def _certify(table: results_table.Table, workdir: filesystem.Path, out: filesystem.Path) -> None:
    results = results_table.read_results(workdir / "results.json")
    folders = dict.fromkeys(folder for entry in results for folder in entry.stages)
    kept = store.of(workdir)
    parts = [kept.home / "stages" / folder / statement.NAME for folder in folders]
    addresses = dict.fromkeys(
        score.items.address for entry in results for score in entry.metrics.values() if score.items
    )
    parts += [certify.beside(kept.score_path(each)) for each in addresses]
    config = checked_json.read(Any, workdir / "config.json")
    notes = {"accepted_code": list(table.accepted_code)} if table.accepted_code else {}
    certify.table(out, table.title or "", config, installed.versions(), parts, notes)


def build(workdir: filesystem.Path) -> Gathered:
    """Return the table of the results in a work directory; references that are not finished are skipped.

    Args:
        workdir: a directory with results.json, config.json and config.gin.

    Raises:
        UserError: a file is missing or damaged.
    """
    config = checked_json.read(_Config, workdir / "config.json")
    plan = claim_verdicts.Plan(config.claims, config.matters, config.looks, config.seeds)
    results = results_table.read_results(workdir / "results.json")
    home = store.of(workdir).home
    finished = {entry.label for entry in results}
    logs = [
        results_table.Log(
            entry.label, entry.seed, folder.rpartition("-s")[0], f"stages/{folder}/events.jsonl"
        )
        for entry in results
        for folder in entry.stages
        if (home / "stages" / folder / "events.jsonl").exists()
    ]
    items, design = item_scores.read(home, results), config.design
    against = [label for label in config.compare_with if label in finished]
    if design is not None:
        results = tuple(entry for entry in results if entry.label in design.places)
        against = [
            label
            for label, (row, _) in design.places.items()
            if label in finished and row in config.compare_with
        ]
    table = table_builder.build_table(
        results,
        reference=against,
        title=config.name,
        logs=logs,
        items=items,
        plan=plan if plan.claims else None,
        design=design,
        flops=_flops(home, results) if design is not None else None,
        config=filesystem.read(workdir / "config.gin").decode("utf-8", "backslashreplace"),
        address=describe.address(checked_json.read(Any, workdir / "config.json")),
    )
    matched = tuple(each for each in matched_rows.read(workdir) if each.row in finished)
    return Gathered(dataclasses.replace(table, matched=matched), results, items)


def _flops(home: filesystem.Path, results: Sequence[results_table.Result]) -> dict[str, float]:
    """Return label -> model FLOPs of its training, mean over seeds; rows with an unknown one are left out."""
    folders = tuple(dict.fromkeys(folder for entry in results for folder in entry.stages))
    costs = page_content.costs(results, {}, stage_certificates.read(home, folders).flops)
    return compute_plot.means(costs, compute_plot.AXES[0])


def again(workdir: filesystem.Path) -> Gathered:
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
    return build(workdir)
