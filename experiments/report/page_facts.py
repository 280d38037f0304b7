"""What a page says beside the table: what rows changed, what they cost, how they fared, what they saw.

Collected from a work directory by `experiments/results/page_content.py`; a table alone has none of it.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Change:
    """What one row changed.

    Args:
        row: its label.
        lines: one difference of the configuration each; () for a row that is the base.
        origin: file and line of the rows, or None if unknown.
    """

    row: str
    lines: tuple[str, ...]
    origin: str | None = None


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one row cost with one seed: all its stages, also those that it shares with others.

    Args:
        row: its label.
        seed: the seed.
        device_hours: devices times hours, failed attempts included; None if unknown.
        flops: model FLOPs of its training; None if unknown.
    """

    row: str
    seed: int
    device_hours: float | None
    flops: float | None


@dataclasses.dataclass(frozen=True)
class Health:
    """How one stage fared.

    Args:
        stage: its name and seed.
        rows: labels of the rows that use it.
        steps: last step in its log.
        trouble: collapse, bad clips, restarts, recompilations and a loss that was not finite; () if none.
        largest_gradient: largest logged norm of the gradient, or None.
        last_loss: or None.
    """

    stage: str
    rows: tuple[str, ...]
    steps: int
    trouble: tuple[str, ...]
    largest_gradient: float | None
    last_loss: float | None


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """A test clip that two rows judge differently.

    Args:
        key: name of the clip.
        ours, theirs: mean outcome of the row and of its reference over seeds and heads.
        picture: PNG of its frames, or None.
    """

    key: str
    ours: float
    theirs: float
    picture: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Disagreements:
    """The clips on which two rows disagree most.

    Args:
        row, reference, metric: of the claim.
        gained: clips on which the row is better, the largest difference first.
        lost: clips on which it is worse.
        counts: number of clips gained, lost and equal.
    """

    row: str
    reference: str
    metric: str
    gained: tuple[Disagreement, ...]
    lost: tuple[Disagreement, ...]
    counts: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the student of a stage saw in one step.

    Args:
        stage: name of the stage.
        rows: labels of the rows that use it.
        caption: what the picture shows.
        picture: PNG.
    """

    stage: str
    rows: tuple[str, ...]
    caption: str
    picture: bytes


@dataclasses.dataclass(frozen=True)
class Facts:
    """All of it; empty parts have no section.

    Args:
        changes: one a row.
        costs: one a row and seed.
        health: one a stage and seed.
        disagreements: one a claim whose clips are known.
        seen: one a stage.
        certificates: (name, what it says) of each certificate.
        certificate: file of the table's certificate relative to the page, or None.
    """

    changes: tuple[Change, ...] = ()
    costs: tuple[Cost, ...] = ()
    health: tuple[Health, ...] = ()
    disagreements: tuple[Disagreements, ...] = ()
    seen: tuple[Seen, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    certificate: str | None = None
