"""Format a plan as terminal tables, HTML and JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import rich.console

from prismlab.core.io import filesystem
from prismlab.experiments import console, html_page
from prismlab.experiments.plan import stage_plan

HEADS = (
    "topology", "stage", "chips", "clips/chip", "fits", "GiB/chip", "parameters", "optimizer", "teacher",
    "activations", "batch", "largest", "TFLOP", "step s >=", "serial s", "limit", "MFU <=",
    "chip hours", "cost $",
)  # fmt: skip


def line(entry: stage_plan.Entry) -> list[str]:
    """Return the table row of one stage on one topology, in the order of HEADS."""
    gib = lambda name: f"{entry.groups[name] / 2**30:.2f}"
    fits = {True: "yes", False: "no", None: "unknown"}[entry.fits]
    mark = "" if entry.source == "compiled" else "~"
    return [
        entry.topology, entry.stage, str(entry.chips), str(entry.clips), fits,
        f"{mark}{entry.bytes / 2**30:.2f}",
        gib("parameters"), gib("optimizer"), gib("teacher"), mark + gib("activations"), gib("batch"),
        "-" if entry.largest is None else str(entry.largest),
        f"{entry.operations[0] / 1e12:.3g}/{entry.operations[1] / 1e12:.3g}",
        f"{entry.roof.seconds:.3g}", "-" if entry.serial is None else f"{entry.serial:.3g}",
        entry.roof.limit, f"{entry.roof.mfu:.2f}", f"{entry.hours:,.0f}",
        "-" if entry.cost is None else f"{entry.cost:,.0f}",
    ]  # fmt: skip


def collective_lines(entry: stage_plan.Entry) -> list[list[str]]:
    """Return the table rows of a stage's collectives: kind, count, gigabytes sent per chip and step."""
    return [
        [entry.topology, entry.stage, kind, f"{times:,}", f"{sent / 1e9:.2f}"]
        for kind, (times, sent) in entry.collectives.items()
    ]


def choice_lines(entry: stage_plan.Entry) -> list[list[str]]:
    """Return the table rows of the settings compared for a stage."""
    return [
        [
            entry.topology, entry.stage, each["remat"] + (" *" if each["configured"] else ""),
            str(each["accumulate"]), f"~{each['gib']:.2f}", "yes" if each["fits"] else "no",
            f"{each['seconds']:.3g}", each["limit"], f"{each['mfu']:.2f}",
        ]
        for each in entry.choices
    ]  # fmt: skip


COLLECTIVE_HEADS = ("topology", "stage", "collective", "times a step", "GB sent a chip")
CHOICE_HEADS = ("topology", "stage", "remat", "accumulate", "GiB", "fits", "step s >=", "limit", "MFU <=")
NOTE = (
    "~ estimated from the step's graph, without ~ reported by the compiler. TFLOP: one step on one chip, of "
    "the model / with recomputation. Step, hours and cost are bounds at published peaks; a real run needs "
    "more. serial: the same peaks, without overlap between operations; a real run is nearer to it. * the "
    "configured setting."
)


def totals(entries: Sequence[stage_plan.Entry]) -> list[str]:
    """Return one line per topology: whether every stage fits, and lower bounds on chip hours and cost."""
    told = []
    for where in dict.fromkeys(entry.topology for entry in entries):
        mine = [entry for entry in entries if entry.topology == where]
        costs = [entry.cost for entry in mine]
        cost = "no price" if None in costs else f"${sum(c for c in costs if c is not None):,.0f}"
        days = sum(entry.hours / entry.chips for entry in mine) / 24
        fits = "fits" if all(entry.fits for entry in mine) else "does not fit"
        told.append(
            f"{where}: {fits}; {len(mine)} stages, at least {sum(e.hours for e in mine):,.0f} chip hours, "
            f"{cost}, {days:.1f} days"
        )
    return told


def tables(entries: Sequence[stage_plan.Entry]) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Return (title, heads, rows) of every non-empty table."""
    found = [
        ("stages", HEADS, [line(entry) for entry in entries]),
        ("collectives", COLLECTIVE_HEADS, [x for entry in entries for x in collective_lines(entry)]),
        ("remat and accumulation", CHOICE_HEADS, [x for entry in entries for x in choice_lines(entry)]),
    ]
    return [each for each in found if each[2]]


def show(entries: Sequence[stage_plan.Entry], faults: Sequence[str], out: rich.console.Console) -> None:
    """Print tables, totals and problems.

    Args:
        entries: the planned stages.
        faults: one line for each stage and topology that could not be planned.
        out: console to print to.
    """
    for _, heads, lines in tables(entries):
        console.table(out, heads, lines)
        console.say(out, "")
    for told in [*totals(entries), *problems(entries), *faults, NOTE]:
        console.say(out, told)


def problems(entries: Sequence[stage_plan.Entry]) -> list[str]:
    """Return one line for each problem of a stage, and for its large parameters that stay whole."""
    return [
        f"{entry.topology}, {entry.stage}: {told}"
        for entry in entries
        for told in (entry.problem, entry.whole)
        if told
    ]


def write_json(entries: Sequence[stage_plan.Entry], faults: Sequence[str], path: pathlib.Path) -> None:
    """Write the plan as JSON."""
    plain: list[dict[str, Any]] = []
    for entry in entries:
        roof = entry.roof
        bounds = {"seconds": roof.seconds, "mfu": roof.mfu, "limit": roof.limit}
        plain.append({**dataclasses.asdict(entry), "bound": bounds})
    text = json.dumps({"entries": plain, "faults": list(faults), "note": NOTE}, indent=1)
    filesystem.write_atomic(path, (text + "\n").encode())


def write_html(
    entries: Sequence[stage_plan.Entry], faults: Sequence[str], title: str, path: pathlib.Path
) -> None:
    """Write the plan as a self-contained HTML page."""
    lines = [*totals(entries), *problems(entries), *faults, NOTE]
    page = html_page.render("plan.html", title=title, lines=lines, tables=tables(entries))
    filesystem.write_atomic(path, page.encode())
