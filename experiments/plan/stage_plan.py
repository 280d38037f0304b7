"""Plan one stage on one topology: memory fit, and lower bounds on step time and cost."""

import dataclasses
import math
import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.core.parallel import mesh, whole_leaves
from prismlab.experiments.cost import estimate, roofline, variants
from prismlab.experiments.plan import choices, compiled, serial, topology
from prismlab.experiments.recipe import recipe

# Fraction of the memory that is reserved by the runtime.
RESERVED = 0.02
ACCUMULATE = (1, 2, 4)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a plan.

    Args:
        file: the gin file.
        bindings: gin bindings from the command line.
        compile: whether TPU steps are compiled; otherwise everything is estimated.
        search: whether the largest batch is confirmed by compilation.
        limit: time limit of one compilation, in seconds.
        prices: chip -> dollars per chip hour.
        cache: directory that caches compilations, or None.
    """

    file: str
    bindings: tuple[str, ...]
    compile: bool
    search: bool
    limit: float
    prices: dict[str, float]
    cache: pathlib.Path | None


@dataclasses.dataclass(frozen=True)
class Entry:
    """Plan of one stage on one topology.

    Args:
        topology, stage, rows, chips, batch: what was planned.
        clips: clips per chip.
        fits: whether it fits; None if that is unknown.
        source: "compiled" or "estimated".
        groups: bytes per chip by group.
        bytes: total bytes per chip.
        largest: the largest number of clips per chip that fits; None if unknown.
        roof: the roofline.
        serial: seconds of a step if its operations do not overlap; None if nothing was compiled.
        padded_bytes: memory traffic with arrays padded to whole tiles; None if nothing was compiled.
        operations: FLOPs of one step on one chip: of the model, and including rematerialization.
        collectives: kind -> (count, bytes sent); empty if nothing was compiled.
        choices: the settings compared, one dictionary each.
        steps: total steps in the recipe or ablation.
        hours: chip hours at the bound.
        cost: dollars at the bound; None without a price.
        problem: one-line error with advice, or "".
        whole: one line that names large parameters that stay whole on every chip, with advice, or "".
    """

    topology: str
    stage: str
    rows: tuple[str, ...]
    chips: int
    batch: int
    clips: int
    fits: bool | None
    source: str
    groups: dict[str, float]
    bytes: float
    largest: int | None
    roof: roofline.Roofline
    serial: float | None
    padded_bytes: float | None
    operations: tuple[float, float]
    collectives: dict[str, tuple[int, float]]
    choices: list[dict[str, Any]]
    steps: int
    hours: float
    cost: float | None
    problem: str
    whole: str


def entry(job: choices.Job, built: Any, where: topology.Topology, options: Options) -> Entry:
    """Plan one stage on one topology.

    Args:
        job: the stage.
        built: abstract learners of its experiment.
        where: the topology.
        options: options of the plan.

    Raises:
        UserError: the batch or the mesh does not divide the number of chips.
    """
    stage = job.stage
    shards = check(stage, where)
    clips = stage.batch_size // shards
    platform = where.chip.platform
    found = estimate.of(stage, built, where.count, clips, accumulate=stage.accumulate, platform=platform)
    answer = None
    if where.compiles and options.compile:
        answer = compiled.run(request(job, where, options), options.limit, options.cache)
    capacity = where.chip.memory * (1 - RESERVED)
    held = sum(found.groups[name] for name in ("parameters", "optimizer", "teacher", "batch"))
    groups, source = dict(found.groups), "estimated"
    scale = 1.0
    if answer is not None and answer.bytes is not None:
        groups["activations"], source = max(0.0, answer.bytes - held), "compiled"
        scale = groups["activations"] / max(found.groups["activations"], 1.0)
    total = sum(groups.values())
    fits: bool | None = total <= capacity
    if answer is not None:
        fits = answer.fits and total <= capacity if answer.bytes is not None else None
    report = answer.report if answer is not None else {}
    collectives = {kind: (int(n), float(sent)) for kind, (n, sent) in report.get("collectives", {}).items()}
    roof = roofline.of(
        where.chip,
        found.products,
        found.model_products,
        report.get("memory_bytes", found.memory_bytes),
        sum(sent for _, sent in collectives.values()) if collectives else found.sent,
    )
    problem = answer.problem if answer is not None else ""
    if fits is False and (not problem or "needed" in report):
        problem = too_large(report.get("needed", total), capacity, stage)
    serial_seconds = padded_bytes = None
    if "serial" in report:
        by_operation = serial.Serial(**report["serial"])
        padded_bytes = by_operation.padded_bytes
        serial_seconds = serial.seconds_of(by_operation, sum(found.products.values()), where.chip)
    hours = job.steps * roof.seconds * where.count / 3600
    price = options.prices.get(where.chip.name)
    return Entry(
        topology=where.text, stage=stage.name, rows=job.rows, chips=where.count, batch=stage.batch_size,
        clips=clips, fits=fits, source=source, groups=groups, bytes=total,
        largest=largest(job, groups, clips, capacity, shards, where, options),
        roof=roof,
        serial=serial_seconds, padded_bytes=padded_bytes,
        operations=(sum(found.model_products.values()), sum(found.products.values())),
        collectives=collectives,
        choices=compare(stage, built, where, clips, scale, capacity),
        steps=job.steps, hours=hours, cost=None if price is None else hours * price,
        problem=problem,
        whole=whole_leaves.advice(
            built[stage.name], dict(zip(mesh.AXES, stage.run.layout.sizes(where.count))), stage.run.rules
        ),
    )  # fmt: skip


def check(stage: recipe.Stage, where: topology.Topology) -> int:
    """Return the number of shards of the batch.

    Raises:
        UserError: the mesh does not divide the chips, or the batch size is not divisible; the message has
            the nearest valid values.
    """
    replica, data, _ = stage.run.layout.sizes(where.count)
    shards = replica * data
    whole = shards * stage.accumulate
    if stage.batch_size % whole:
        below = stage.batch_size // whole * whole
        fits = " or ".join(str(size) for size in (below, below + whole) if size)
        parts = f" in {stage.accumulate} parts" if stage.accumulate > 1 else ""
        raise errors.UserError(
            f"recipe.Stage.batch_size={stage.batch_size} cannot be split over {shards} groups of chips of "
            f"{where.text} (replica x data){parts}; use {fits}"
        )
    return shards


def request(job: choices.Job, where: topology.Topology, options: Options, clips: int = 0) -> compiled.Request:
    """Return the compile request of a stage; `clips` > 0 overrides the global batch size."""
    return compiled.Request(
        options.file, options.bindings, job.row, job.stage.name, where.text, clips or job.stage.batch_size
    )


def too_large(needed: float, capacity: float, stage: recipe.Stage) -> str:
    """Return the error message for a step that does not fit into memory; it names what is not set yet."""
    ways = ["more chips", "a smaller batch", "a larger accumulate"]
    if variants.remat_of(stage) != variants.REMATS[0]:
        ways.append(f"remat={variants.REMATS[0]!r}")
    return (
        f"needs {needed / 2**30:.1f} of {capacity / 2**30:.1f} GiB per chip; use "
        f"{', '.join(ways[:-1])} or {ways[-1]}"
    )


def largest(
    job: choices.Job, groups: dict[str, float], clips: int, capacity: float,
    shards: int, where: topology.Topology, options: Options,
) -> int | None:  # fmt: skip
    """Return the largest number of clips per chip that fits; None if not even one does.

    Memory is affine in the number of clips: the first guess extrapolates from one measurement and the
    constant part. With options.search each guess is compiled, and the next one uses the compiled size.
    """
    fixed = groups["parameters"] * 2 + groups["optimizer"] + groups["teacher"]
    total = sum(groups.values())
    guess = _affine(fixed, total, clips, capacity)
    if not (options.search and options.compile and where.compiles):
        return guess or None
    low, high = 0, None
    for _ in range(4):
        if guess <= low or (high is not None and guess >= high):
            break
        answer = compiled.run(request(job, where, options, guess * shards), options.limit, options.cache)
        if answer.fits:
            low = guess
        elif answer.bytes is None:
            break
        else:
            high = guess
        if answer.bytes is not None:
            guess = _affine(fixed, answer.bytes, guess, capacity)
    return low or None


def _affine(fixed: float, total: float, clips: int, capacity: float) -> int:
    slope = max(total - fixed, 1.0) / clips
    return max(0, math.floor((capacity - fixed) / slope))


def compare(
    stage: recipe.Stage, built: Any, where: topology.Topology, clips: int, scale: float, capacity: float
) -> list[dict[str, Any]]:
    """Compare rematerialization policies and gradient accumulation by their estimated cost.

    Args:
        stage: the configuration.
        built: abstract learners.
        where: the topology.
        clips: clips per chip.
        scale: ratio of compiled to estimated activations of the configured setting.
        capacity: usable memory per chip, in bytes.
    """
    found = []
    for remat in variants.REMATS:
        for parts in sorted({*ACCUMULATE, stage.accumulate}):
            if clips % parts:
                continue
            each = estimate.of(stage, built, where.count, clips, remat, parts, where.chip.platform)
            needed = each.bytes + (scale - 1.0) * each.groups["activations"]
            roof = roofline.of(where.chip, each.products, each.model_products, each.memory_bytes, each.sent)
            found.append(
                {
                    "remat": remat, "accumulate": parts, "gib": needed / 2**30, "fits": needed <= capacity,
                    "seconds": roof.seconds, "mfu": roof.mfu, "limit": roof.limit,
                    "configured": remat == variants.remat_of(stage) and parts == stage.accumulate,
                }
            )  # fmt: skip
    return found
