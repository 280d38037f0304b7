"""A paragraph for a paper's appendix from certificates: seeds, intervals, compute, hardware, code."""

from collections.abc import Iterable, Sequence

from prismlab.experiments.certificate import contents
from prismlab.experiments.statistics import claim_verdicts, results_table

_SHOWN = ("python", "jax", "jaxlib", "optax", "equinox")


def text(certificates: Sequence[contents.Certificate], table: results_table.Table | None) -> str:
    """Return the paragraph, plain text.

    Args:
        certificates: of the stages, scores and table of a work directory.
        table: its table, or None.
    """
    stages = [each for each in certificates if each.kind == "stage"]
    scores = [each for each in certificates if each.kind == "score"]
    sentences = [*_runs(stages, scores), *_intervals(table), *_compute(stages, scores)]
    sentences += [*_hardware(stages or scores), *_versions(certificates), *_code(certificates)]
    return " ".join(sentences)


def _runs(stages: Sequence[contents.Certificate], scores: Sequence[contents.Certificate]) -> list[str]:
    seeds = _unique(each.notes.get("seed") for each in stages or scores)
    shown = f"seed{'s' * (len(seeds) > 1)} {_joined(seeds)}"
    found = [
        f"We trained {_count(len(stages), 'stage')} and ran {_count(len(scores), 'evaluation')} with {shown}."
    ]
    clips = sum(each.cost.clips for each in stages)
    if clips:
        found.append(f"Training saw {clips:,} clips, repeats included.")
    return found


def _intervals(table: results_table.Table | None) -> list[str]:
    if table is None:
        return []
    methods = _unique(cell.method for row in table.rows for cell in row.metrics.values() if cell.method)
    found = [f"Intervals of single rows: {_joined(methods)}."] if methods else []
    if table.paired or table.claims:
        claims = claim_verdicts.count(table.claims)
        found.append(
            f"Differences between rows are paired by seed; {_count(claims, 'claim')} declared "
            "before the runs share an error of 5 %, all other comparisons are exploratory."
        )
    return found


def _compute(stages: Sequence[contents.Certificate], scores: Sequence[contents.Certificate]) -> list[str]:
    total = sum(each.cost.device_seconds for each in [*stages, *scores])
    failed = sum(each.cost.failed_device_seconds for each in stages)
    tried = sum(len(each.attempts) for each in stages)
    found = [
        f"Training and evaluation took {_hours(total)} in all, of which {_hours(failed)} were failed or "
        f"repeated ({_count(tried, 'attempt')} at {_count(len(stages), 'stage')})."
    ]
    counted = [each.cost.flops for each in stages if each.cost.flops is not None]
    if counted and len(counted) == len(stages):
        found.append(f"Training took {sum(counted):.2e} model FLOPs.")
    elif counted:
        found.append(
            f"{len(counted)} of these stages took {sum(counted):.2e} model FLOPs; others were not counted."
        )
    return found


def _hardware(certificates: Sequence[contents.Certificate]) -> list[str]:
    kinds = _unique(
        f"{each.environment.devices} x {each.environment.device} on "
        f"{_count(each.environment.hosts, 'host')} ({each.environment.processor or 'processor unknown'}, "
        f"{_count(each.environment.cores, 'core')} used, {each.environment.system})"
        for each in certificates
    )
    return [f"Hardware: {_joined(kinds)}."] if kinds else []


def _versions(certificates: Sequence[contents.Certificate]) -> list[str]:
    found = []
    for name in _SHOWN:
        known = _unique(each.environment.versions.get(name) for each in certificates)
        if known:
            found.append(f"{name} {' and '.join(map(str, known))}")
    locks = _unique(each.source.lock for each in certificates)
    lock = f" (requirements.lock, sha256 {_joined(each[:12] for each in locks)})" if locks else ""
    return [f"Software: {', '.join(found)}{lock}."] if found else []


def _code(certificates: Sequence[contents.Certificate]) -> list[str]:
    commits = _unique(each.source.commit for each in certificates)
    accepted = [note for each in certificates for note in each.notes.get("accepted_code") or ()]
    accepted = [f"{each}." for each in _unique(accepted)]
    if not commits:
        return [
            "The code was not in a git checkout; certificates hold a hash of each imported module.",
            *accepted,
        ]
    dirty = sum(each.source.changes is not None for each in certificates)
    state = (
        f"with uncommitted changes in {dirty} of {len(certificates)} results (hash in the certificates)"
        if dirty
        else "without uncommitted changes"
    )
    return [f"Code: commit {_joined(each[:12] for each in commits)}, {state}.", *accepted]


def _unique(values: Iterable) -> list:
    return list(dict.fromkeys(each for each in values if each is not None and each != ""))


def _joined(values: Iterable) -> str:
    shown = [str(each) for each in values]
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} device-hours" if seconds >= 3600 else f"{seconds / 60:.1f} device-minutes"
