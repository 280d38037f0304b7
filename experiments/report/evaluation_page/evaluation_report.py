"""Table and page of `prismlab eval`: terminal, Markdown, JSON and HTML with bars."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import rich.console

from prismlab.core.io import filesystem
from prismlab.experiments import console, html_page
from prismlab.experiments.report.evaluation_page import earlier_scores, example_pictures, group_marks

HEADS = ("task", "metric", "score", "95% over items", "chance", "n", "missing", "paper (B)")
# Facts that change how a score is to be read: a line each under the table.
REMARKS = (
    "warning", "variant", "rows left out", "train clips missing", "size", "classes that never occur",
    "videos without a label", "repeated captions", "not computed",
)  # fmt: skip
# Facts shown in columns of their own, or too long for the list of a protocol.
_ELSEWHERE = ("chance", "missing", "missing clips", "grid", "protocol", "by head seed", "examples")


@dataclasses.dataclass(frozen=True)
class Shown:
    """One metric of one task: a line of the table.

    Args:
        task, metric: names.
        value: the score, mean over seeds.
        interval: half width of the 95% interval over items; None for fewer than two groups of items.
        n, missing: items scored, items that could not be read.
        chance: or None.
        protocol: everything that made the number.
        interval_by: how the interval was computed.
        paper, giant: the paper's numbers for VideoPrism-B and g in the unit of `value`, or None.
        group: the paper's group of such tasks, or "".
        otherwise: why the paper has no such number, or "".
    """

    task: str
    metric: str
    value: float
    interval: float | None
    n: int
    missing: int
    chance: float | None
    protocol: dict[str, Any]
    interval_by: str = ""
    paper: float | None = None
    giant: float | None = None
    group: str = ""
    otherwise: str = ""


def cells(line: Shown) -> list[str]:
    """Return the texts of a line, in the order of HEADS."""
    interval = "" if line.interval is None else f"±{line.interval:.3f}"
    chance = "" if line.chance is None else f"{line.chance:.3f}"
    paper = "" if line.paper is None else f"{line.paper:.3f}"
    missing = str(line.missing) if line.missing else ""
    return [line.task, line.metric, f"{line.value:.3f}", interval, chance, str(line.n), missing, paper]


def print_table(lines: Sequence[Shown], encoder: str, out: rich.console.Console) -> None:
    """Print the table, then the protocol of each task and what its reader left out."""
    console.say(out, f"encoder: {encoder}")
    console.table(out, list(HEADS), [cells(line) for line in lines], numbers=HEADS[2:])
    for task, text in (*protocols(lines), *remarks(lines)):
        console.say(out, f"{task}: {text}")
    if told := methods(lines):
        console.say(out, told)


def protocols(lines: Sequence[Shown]) -> list[tuple[str, str]]:
    """Return (task, protocol in one line), each task once."""
    return list({line.task: str(line.protocol.get("protocol", "")) for line in lines}.items())


def remarks(lines: Sequence[Shown]) -> list[tuple[str, str]]:
    """Return (task, "name: fact") of each fact in REMARKS, once for each task."""
    found = {
        (line.task, f"{name}: {line.protocol[name]}"): None
        for line in lines
        for name in REMARKS
        if name in line.protocol
    }
    return list(found)


def methods(lines: Sequence[Shown]) -> str:
    """Return in one line how the intervals were computed, each method with its metrics; "" without any."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.interval is not None and line.interval_by:
            found.setdefault(line.interval_by, {})[line.metric] = None
    texts = [f"{method} ({', '.join(metrics)})" for method, metrics in found.items()]
    return f"95% intervals over items: {'; '.join(texts)}" if texts else ""


def write(
    lines: Sequence[Shown], title: str, encoder: str, folder: filesystem.Path, digest: str = ""
) -> None:
    """Write evaluation.json, evaluation.md and evaluation.html, with the scores of encoders before this one.

    Args:
        lines: the table.
        title: its title.
        encoder: name of the encoder.
        folder: the work directory.
        digest: sha256 of the encoder's weights.

    Raises:
        UserError: the file of earlier scores is damaged.
    """
    own = [_earlier(line) for line in lines]
    others = earlier_scores.added(folder, earlier_scores.Encoder(encoder, digest, tuple(own)))
    plain = {"title": title, "encoder": encoder, "lines": [dataclasses.asdict(line) for line in lines]}
    filesystem.write_atomic(
        folder / "evaluation.json", (json.dumps(plain, indent=1, allow_nan=True) + "\n").encode()
    )
    rows = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * 2 + "---:|" * (len(HEADS) - 2)]
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(line)) + " |" for line in lines]
    notes = [f"- {task}: {text}" for task, text in (*protocols(lines), *remarks(lines))]
    if told := methods(lines):
        notes.append(f"- {told}")
    text = [f"# {title}", "", f"Encoder: {encoder}", "", *rows, "", *notes, ""]
    filesystem.write_atomic(folder / "evaluation.md", "\n".join(map(console.escaped, text)).encode())
    bars = [
        (f"{line.task}: {line.metric}", *_bar(line), earlier_scores.beside(score, others))
        for line, score in zip(lines, own)
        if 0 <= line.value <= 1
    ]
    facts = [(f"{line.task}: {line.metric}", _facts(line.protocol)) for line in lines]
    examples = [
        (f"{line.task}: {line.metric}", [example_pictures.of(each) for each in line.protocol["examples"]])
        for line in lines
        if line.protocol.get("examples")
    ]
    page = html_page.render(
        "evaluation.html", title=title, encoder=encoder, heads=HEADS, lines=[cells(line) for line in lines],
        bars=bars, facts=facts, examples=examples, methods=methods(lines),
        groups=group_marks.rows([_point(line) for line in lines]),
    )  # fmt: skip
    filesystem.write_atomic(folder / "evaluation.html", page.encode())


def _earlier(line: Shown) -> earlier_scores.Earlier:
    protocol = str(line.protocol.get("protocol", ""))
    return earlier_scores.Earlier(line.task, line.metric, protocol, line.n, line.value)


def _point(line: Shown) -> group_marks.Point:
    return group_marks.Point(
        line.group, line.task, line.metric, line.value, line.interval, _control(line.protocol), line.paper,
        line.giant, line.otherwise,
    )  # fmt: skip


def _control(protocol: dict[str, Any]) -> float | None:
    found = [value for name, value in protocol.items() if name.endswith(" control")]
    return float(found[0]) if found else None


def _bar(line: Shown) -> tuple[float, float, float, float | None, float | None, str]:
    half = line.interval or 0.0
    low, high = max(0.0, line.value - half), min(1.0, line.value + half)
    percent = lambda value: None if value is None else round(100 * value, 2)
    return (
        100 * line.value, 100 * low, 100 * (high - low), percent(line.chance), percent(line.paper),
        f"{line.value:.3f}",
    )  # fmt: skip


def _facts(protocol: dict[str, Any]) -> str:
    shown = [f"{protocol.get('protocol', '')}"]
    shown += [f"{name}: {value}" for name, value in protocol.items() if name not in _ELSEWHERE]
    for point in protocol.get("grid", ()):
        values = ", ".join(f"{name} {value}" for name, value in point.items())
        shown.append(f"grid: {values}")
    for key, reason in protocol.get("missing clips", {}).items():
        shown.append(f"missing: {key}: {reason}")
    return "\n".join(shown)
