"""Verify a trained stage: its stored bits, what changed around it, and some of its steps, trained again.

The cause of a difference is named as far as possible: stored bits, batches, code, configuration, environment.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console
from prismlab.experiments.certificate import (
    certify,
    contents,
    differences,
    environment,
    shareable,
    statement,
    step_digests,
)
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, initial_weights, stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import installed
from prismlab.experiments.verification import certificates, replay, stored_bits, ulp

NOT_PROMISED = "equal bits are not promised on a GPU"
_FIELDS = ("batch", "loss", "gradient_norm", "parameters")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Result of a verification.

    Args:
        name: of the stage's folder, or of the file.
        lines: what was found, one finding a line.
        causes: causes of a difference, one a line; () where numbers are equal.
    """

    name: str
    lines: tuple[str, ...]
    causes: tuple[str, ...] = ()


def everything(
    path: filesystem.Path, count: int, start: int | None, cache: pathlib.Path
) -> Iterator[Verdict]:
    """Yield a verdict for each stage, each file of scores and the table at a path.

    Args:
        path: see `certificates.below`.
        count, start, cache: see `stage`.

    Raises:
        UserError: there is no result; or, if it is a single stage, see `stage`.
    """
    found = certificates.below(path)
    for folder in found.stages:
        try:
            yield stage(folder, count, start, cache)
        except errors.UserError as error:
            if found.stages == (path,):
                raise
            yield Verdict(folder.name, (), (str(error),))
    for score in found.scores:
        yield files(certify.beside(score))
    if found.table is not None:
        yield files(found.table)


def stage(folder: filesystem.Path, count: int, start: int | None, cache: pathlib.Path) -> Verdict:
    """Compare the files of a stage with its certificate, and train some of its steps again, in memory.

    Args:
        folder: the stage's folder.
        count: number of steps to replay.
        start: the replay begins at the last undamaged checkpoint at or before this step; None means the last
            one before the end. Step 0 is the initial state.
        cache: directory shared by runs.

    Raises:
        UserError: there is no certificate, or the recipe, the parents or the data are missing.
    """
    certificate = statement.read(folder)
    if certificate.kind != "stage":
        raise errors.UserError(f"{folder}: expected the certificate of a stage, found a {certificate.kind}")
    stored = stored_bits.of_stage(folder, certificate)
    prints = fingerprints.Fingerprints(cache)
    planned = _planned(folder, certificate, prints)
    changes = _changes(certificate, planned)
    lines = [f"stored bits: {each}" for each in stored.faults]
    causes = list(lines)
    total = planned.stage.steps
    if total == 0:
        lines.append("a stage of no steps: only its files were compared")
        return Verdict(folder.name, tuple(lines), tuple(causes))
    begin = _begin(stored, total - 1 if start is None else start, total)
    last = min(begin + count, total)
    recorded = _recorded(folder, certificate, stored, begin, last)
    runner = engine.Engine(folder.parent.parent, cache, console.silent(), prints)
    again = replay.replay(
        runner, _with_parents(planned, certificate.parents), folder, begin, last,
        devices=_devices(certificate, planned.stage),
        wanted=frozenset(stored.learners), recorded={each.step: each for each in recorded},
    )  # fmt: skip
    found, field = _first(recorded, again.steps)
    found += _leaves(stored, again, last)
    kept = [at for at in stored.learners if begin < at <= last]
    word = "differ" if found else "equal"
    lines.append(
        f"steps {begin + 1} to {last}, replayed from step {begin}: {_count(recorded, 'logged step')} and "
        f"{_count(kept, 'checkpoint')} {word}"
    )
    lines += found
    if not kept and not found:
        later = [at for at in stored.learners if at > last]
        lines += [f"--steps {later[0] - begin} reaches the checkpoint of step {later[0]}" for _ in later[:1]]
    if found:
        causes += _causes(field, changes) or [_unexplained(certificate)]
    else:
        lines += [
            f"numbers are equal although {line}"
            for line in differences.grouped(("", each) for each in changes if each.part != "checkout")
        ]
    if _on_gpu(certificate):
        lines.append(NOT_PROMISED)
    return Verdict(folder.name, tuple(lines), tuple(causes))


def files(path: filesystem.Path) -> Verdict:
    """Compare scores or a table with their certificate.

    Args:
        path: the certificate's file.
    """
    name = path.parent.name if path.name == statement.NAME else path.with_suffix(".json").name
    try:
        faults = stored_bits.of_files(path.parent, statement.read(path))
    except errors.UserError as error:
        faults = [str(error)]
    lines = tuple(f"stored bits: {each}" for each in faults)
    return Verdict(name, lines or ("files equal",), lines)


def _planned(
    folder: filesystem.Path, certificate: contents.Certificate, prints: fingerprints.Fingerprints
) -> stages.Planned:
    """Return the stage as this checkout plans it from the recipe that it was trained with."""
    text = folder / certify.RECIPE
    if not text.is_file():
        raise errors.UserError(
            f"{folder} has no {certify.RECIPE}, which holds its recipe; copy the whole folder of the stage"
        )
    with filesystem.local_copy(text) as file:
        root = strict.load(str(file), earlier=True).root
    rows = root.experiments().values() if isinstance(root, recipe.Ablation) else [root]
    seed, found = certificate.notes.get("seed"), []
    for row in rows:
        if any(each.name == certificate.name for each in row.stages) and isinstance(seed, int):
            found += [each for each in stages.plan(row, seed, prints) if each.stage.name == certificate.name]
    if not found:
        raise errors.UserError(
            f"{text} holds no stage {certificate.name!r}; restore the file, or copy the folder again"
        )

    def unlike(each: stages.Planned) -> tuple[bool, int]:
        changed = differences.configuration(certificate.inputs, shareable.tree(dict(each.inputs)))
        return each.address != certificate.address, len(changed)

    return min(found, key=unlike)


def _changes(certificate: contents.Certificate, planned: stages.Planned) -> list[differences.Difference]:
    """Return what differs between the certificate and this process."""
    now = environment.of_process(installed.versions(), certificate.environment.mesh)
    if now.devices >= certificate.environment.devices:  # the replay takes as many
        now = dataclasses.replace(now, devices=certificate.environment.devices)
    inputs = shareable.tree(dict(planned.inputs))
    same = dataclasses.replace(certificate, inputs=inputs, environment=now)
    return differences.of(certificate, same)


def _with_parents(planned: stages.Planned, known: Mapping[str, str]) -> stages.Planned:
    """Return a stage whose parents have the addresses that they had when it was trained."""

    def then(label: str, parent: Any) -> Any:
        if isinstance(parent, stages.Planned) and label in known:
            return dataclasses.replace(parent, address=known[label])
        return parent

    first: Any = planned.init_from
    if isinstance(first, Mapping):
        labels = initial_weights.labelled("init_from", {path: path for path in first})
        first = {path: then(label, first[path]) for label, path in labels.items()}
    else:
        first = then("init_from", first)
    return dataclasses.replace(planned, init_from=first, teacher=then("teacher", planned.teacher))


def _devices(certificate: contents.Certificate, configured: recipe.Stage) -> Mesh:
    devices = jax.devices()
    if len(devices) >= certificate.environment.devices:
        devices = devices[: certificate.environment.devices]
    return configured.run.layout.make(devices)


def _begin(stored: stored_bits.Stored, start: int, total: int) -> int:
    if not 0 <= start < total:
        raise errors.UserError(f"--start {start}: the stage has steps 0 to {total - 1} to start from")
    return max((at for at in stored.learners if at <= start), default=0)


def _recorded(
    folder: filesystem.Path, certificate: contents.Certificate, stored: stored_bits.Stored, begin: int,
    last: int,
) -> list[contents.StepDigest]:  # fmt: skip
    if stored.is_log_sound:
        return step_digests.read(folder / "events.jsonl", begin + 1, last)
    return [each for each in certificate.steps if begin < each.step <= last]


def _first(
    recorded: Sequence[contents.StepDigest], again: Mapping[int, contents.StepDigest]
) -> tuple[list[str], str]:
    """Return a line for the first step that differs, and what differs first in it."""
    for before in recorded:
        after = again.get(before.step)
        if after is None:
            break
        for field in _FIELDS:
            one, two = getattr(before, field), getattr(after, field)
            if one is not None and repr(one) != repr(two):
                shown = f"{one} -> {two}"
                if isinstance(one, float) and isinstance(two, float):
                    shown += f" ({_relative(one, two)})"
                return [f"first difference at step {before.step}: {field} {shown}"], field
    return [], ""


def _count(found: Sequence[Any], word: str) -> str:
    return f"{len(found)} {word}{'' if len(found) == 1 else 's'}"


def _relative(one: float, two: float) -> str:
    if not (math.isfinite(one) and math.isfinite(two)) or not one:
        return "not comparable"
    return f"{abs(two - one) / abs(one):.1e} of it"


def _leaves(stored: stored_bits.Stored, again: replay.Replayed, last: int) -> list[str]:
    """Return a line for the first checkpoint that differs, with its first array and their distance."""
    for at in sorted(each for each in again.arrays if each <= last and each in stored.learners):
        before, after = stored.learners[at], again.arrays[at]
        apart = {name: ulp.distance(before[name], after[name]) for name in sorted(before) if name in after}
        wrong = {name: each for name, each in apart.items() if each is not None}
        if wrong:
            name = next(iter(wrong))
            return [
                f"checkpoint {at}: {len(wrong)} of {len(before)} arrays differ; first {name}: {wrong[name]}"
            ]
    return []


def _causes(field: str, changes: Sequence[differences.Difference]) -> list[str]:
    """Return what can have caused a difference; a batch depends on no environment."""
    parts = ["configuration", "code", "data"] if field == "batch" else list(differences.PARTS)
    found = differences.grouped(
        ("", each) for each in changes if each.part in parts and each.part != "checkout"
    )
    if field == "batch":
        found = [f"data or batch order: {line}" for line in found] or [
            "data or batch order: other clips, or the same in another order"
        ]
    return found


def _unexplained(certificate: contents.Certificate) -> str:
    if _on_gpu(certificate):
        return NOT_PROMISED
    return (
        "unknown: configuration, code, data, versions and environment are those of the certificate; replay "
        "again, and suspect the memory or the processor if the result is another one"
    )


def _on_gpu(certificate: contents.Certificate) -> bool:
    named = certificate.environment.device.startswith(("NVIDIA", "AMD", "Tesla", "GeForce", "gpu"))
    return named or jax.devices()[0].platform == "gpu"
