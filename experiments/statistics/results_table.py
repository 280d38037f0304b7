"""Results table of an experiment as frozen dataclasses, and its file table.json.

table.json: {"rows": [{"label", "seeds": [...], "metrics": {name: {"values": [...], "sizes": [...], "mean",
"ci95": [low, high] or null, "method", "protocol": {...}}}}], "reference": [label, ...], "claims": [fields of
`comparisons.Claim`], "paired": [fields of `comparisons.Comparison`], "title", "logs": [...],
"scales": [fields of `scale_points.Curve`], "matched": [fields of `scale_points.Matched`], ...}.
Additional keys ("command", "config", "commit", ...) are kept and displayed unchanged. Files of earlier
versions have "p" and "p_holm" in "paired", which are ignored: all comparisons shared one correction.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.statistics import comparisons, scale_points

_ADVICE = "run the ablation again to rewrite it"


@dataclasses.dataclass(frozen=True)
class Items:
    """Where the outcomes of single test items lie.

    Args:
        address: the file `scores/<address>.json` of the work directory, 16 hexadecimal digits.
        metric: name of the metric in it.
    """

    address: str
    metric: str

    def __post_init__(self) -> None:
        if len(self.address) != 16 or not set(self.address) <= set("0123456789abcdef"):
            raise errors.UserError(f"expected 16 hexadecimal digits as address, found {self.address!r}")


@dataclasses.dataclass(frozen=True)
class Score:
    """Score of one evaluation, as a task writes it.

    Args:
        value: the score; may be NaN or infinite.
        n: number of test items if it is an accuracy, else 0.
        protocol: how it was measured.
        outcomes: contribution of each test item, as in `task.Score`; in files of `scores/` only.
        items: where these outcomes lie; in results.json only, None in files of earlier versions.
    """

    value: checked_json.AnyFloat
    n: int = 0
    protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outcomes: Mapping[str, Any] | None = None
    items: Items | None = None

    def __post_init__(self) -> None:
        if self.n < 0:
            raise errors.UserError(f"n must be at least 0, got {self.n}")


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of one row and seed: an entry of results.json.

    Args:
        label: label of the row.
        seed: the seed.
        metrics: metric name -> score.
        stages: folders of the row's stages, in `stages/` of the work directory.
        accepted_code: stage -> files whose change since it was trained was accepted (`--accept-code`).
    """

    label: str
    seed: int
    metrics: Mapping[str, Score]
    stages: tuple[str, ...] = ()
    accepted_code: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [name for name in self.stages if "/" in name or "\0" in name or name in ("", ".", "..")]
        if wrong:
            raise errors.UserError(f"expected names of folders as stages, found {wrong[0]!r}")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One metric of one row.

    Args:
        values: one score per seed of the row, in their order; None if a seed lacks the metric or its score is
            not finite.
        mean: mean over seeds, or None if a score is not finite.
        ci95: 95 % interval (low, high) around the mean, or None.
        protocol: how the scores were measured, the same for all seeds.
        sizes: number of test items of each value, None where a seed lacks the metric.
        method: how the interval was computed.
    """

    values: tuple[float | None, ...]
    mean: float | None
    ci95: tuple[float, float] | None
    protocol: Mapping[str, Any]
    sizes: tuple[int | None, ...] = ()
    method: str = ""

    def __post_init__(self) -> None:
        if self.sizes and len(self.sizes) != len(self.values):
            raise errors.UserError(f"expected as many sizes as values, found {len(self.sizes)}")
        if self.ci95 is not None and (self.mean is None or not self.ci95[0] <= self.mean <= self.ci95[1]):
            raise errors.UserError(f"expected a mean within ci95, found {self.mean}")

    @property
    def chance(self) -> float | None:
        """Score of a random guess, if the protocol gives it."""
        level = self.protocol.get("chance")
        return float(level) if isinstance(level, int | float) and not isinstance(level, bool) else None


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        label: its label.
        seeds: the seeds that it was run with, ascending.
        metrics: metric name -> cell.
    """

    label: str
    seeds: tuple[int, ...]
    metrics: Mapping[str, Cell]

    def __post_init__(self) -> None:
        for name, cell in self.metrics.items():
            if len(cell.values) != len(self.seeds):
                raise errors.UserError(
                    f"expected {len(self.seeds)} values of {name!r}, one per seed, found {len(cell.values)}"
                )


@dataclasses.dataclass(frozen=True)
class Log:
    """Event log of one stage of one row.

    Args:
        label: label of the row.
        seed: the seed.
        stage: name of the stage.
        events: path of the log relative to the folder of table.json.
    """

    label: str
    seed: int
    stage: str
    events: str

    def __post_init__(self) -> None:
        if os.path.isabs(self.events) or ".." in self.events.split("/") or "\0" in self.events:
            raise errors.UserError(
                f"expected a path below the folder of the table as events, found {self.events!r}"
            )


@dataclasses.dataclass(frozen=True)
class Table:
    """Results table of an experiment.

    Args:
        rows: the rows in order.
        reference: labels of the rows that the others are compared with.
        paired: comparisons that are not claimed.
        title: name of the experiment, or None.
        logs: event logs of the rows, or None if unknown.
        extra: additional entries of table.json, as plain JSON data.
        claims: the comparisons that were declared before the run, with their verdicts.
        accepted_code: which rows reuse stages that were trained with other code, one sentence for each.
        scales: differences of an ablation with scales, by scale.
        matched: stages whose steps were set by the cost of another one.
    """

    rows: tuple[Row, ...]
    reference: tuple[str, ...] = ()
    paired: tuple[comparisons.Comparison, ...] = ()
    title: str | None = None
    logs: tuple[Log, ...] | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, metadata={"rest": True})
    claims: tuple[comparisons.Claim, ...] = ()
    accepted_code: tuple[str, ...] = ()
    scales: tuple[scale_points.Curve, ...] = ()
    matched: tuple[scale_points.Matched, ...] = ()

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.metrics))

    def plain(self) -> dict[str, Any]:
        """Return the content of table.json as plain JSON data."""
        order = ("values", "sizes", "mean", "ci95", "method", "protocol")
        rows = [
            {
                "label": row.label,
                "seeds": row.seeds,
                "metrics": {
                    name: {field: getattr(cell, field) for field in order}
                    for name, cell in row.metrics.items()
                },
            }
            for row in self.rows
        ]
        named = {"title": self.title, "logs": self.logs and [vars(log) for log in self.logs]}
        return {
            "rows": rows,
            "reference": self.reference,
            **({"claims": [entry.plain() for entry in self.claims]} if self.claims else {}),
            "paired": [entry.plain() for entry in self.paired],
            **{name: value for name, value in named.items() if value is not None},
            **({"accepted_code": self.accepted_code} if self.accepted_code else {}),
            **({"scales": scale_points.plain(self.scales)} if self.scales else {}),
            **({"matched": scale_points.plain(self.matched)} if self.matched else {}),
            **self.extra,
        }


def write_table(table: Table, path: str | os.PathLike) -> None:
    """Write table.json atomically.

    Raises:
        UserError: the disk is full.
    """
    text = json.dumps(table.plain(), indent=1, ensure_ascii=False, allow_nan=False)
    filesystem.write_atomic(path, text.encode("utf-8", errors="backslashreplace") + b"\n")


def read_table(path: str | os.PathLike) -> Table:
    """Read a table.json.

    Raises:
        UserError: the file is missing or is not a valid table.
    """
    source = filesystem.as_path(path)
    if not source.is_file():
        raise errors.UserError(
            f"expected the results at {source}, but there is no such file; "
            "run the ablation first, or pass the folder that it wrote"
        )
    return checked_json.read(Table, source, _ADVICE)


def read_results(path: filesystem.Path) -> tuple[Result, ...]:
    """Read a results.json.

    Raises:
        UserError: the file is missing or damaged.
    """
    return checked_json.read(tuple[Result, ...], path)


@dataclasses.dataclass(frozen=True)
class _Evaluated:
    metrics: Mapping[str, Score]


def read_scores(path: filesystem.Path) -> Mapping[str, Score]:
    """Read the scores in a file of `scores/`: metric name -> score.

    Raises:
        UserError: the file is missing or damaged.
    """
    return checked_json.read(_Evaluated, path).metrics
