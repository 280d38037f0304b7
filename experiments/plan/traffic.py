"""Sum the memory and network traffic of a compiled step from optimized HLO.

A collective that is within a fusion counts by its own operands, not by those of the fusion. One that runs
beside a chain of fusions (`hlo.CHAIN`) counts once, where it starts.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

from prismlab.experiments.plan import hlo

INVOLUNTARY = "nvoluntary full remat"  # start of the warning of the SPMD partitioner
KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_START = "AsyncCollectiveStart"  # target of the call that starts a chain


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Memory and network traffic of one step on one chip.

    Args:
        memory: bytes between device memory and chip.
        collectives: kind -> (number of executions, bytes sent by a chip).
        rematerialised: warnings about involuntary full rematerialization.
    """

    memory: float
    collectives: dict[str, tuple[int, float]]
    rematerialised: tuple[str, ...]

    @property
    def sent(self) -> float:
        """Bytes that a chip sends in all collectives."""
        return sum(sent for _, sent in self.collectives.values())


def read(text: str) -> Traffic:
    """Return the total traffic of a module.

    Args:
        text: `compiled.as_text()`, or a dump of the optimized module.
    """
    module, entry = hlo.parse(text)
    memory = 0.0
    found: dict[str, list[float]] = collections.defaultdict(lambda: [0, 0.0])
    for each, times, known in hlo.executed(module, entry):
        for kind, size in _collectives(each, known, module):
            found[kind][0] += times
            found[kind][1] += times * size
        memory += times * hlo.moved(each, known, module)
    copies = tuple(line for line in text.splitlines() if INVOLUNTARY in line)
    return Traffic(memory, {kind: (int(n), total) for kind, (n, total) in sorted(found.items())}, copies)


def _collectives(
    each: hlo.Instruction, known: dict[str, hlo.Instruction], module: dict[str, list[hlo.Instruction]]
) -> Iterator[tuple[str, float]]:
    """Yield (kind, bytes sent by a chip) of each collective that an instruction starts."""
    kind = _kind(each)
    if kind:
        yield kind, sent(kind, each, known)
    if each.opcode not in ("fusion", "async-start"):
        return
    inside = module.get(hlo.callee(each), [])
    local = {one.name: one for one in inside}
    starts = any(_START in one.text for one in inside)
    # The TPU compiler wraps some collectives, such as reduce-scatter, into a fusion.
    cut = any(one.opcode == "dynamic-slice" for one in inside)
    for one in inside:
        kind = _kind(one)
        if kind and (starts or hlo.CHAIN not in one.text):
            kind = "reduce-scatter" if kind == "all-reduce" and cut else kind
            yield kind, sent(kind, one, local)


def _kind(each: hlo.Instruction) -> str | None:
    return next((kind for kind in KINDS if each.opcode in (kind, f"{kind}-start")), None)


def sent(kind: str, each: hlo.Instruction, known: dict[str, hlo.Instruction]) -> float:
    """Return the bytes that a chip sends for a collective, with ring algorithms.

    Args:
        kind: one of KINDS.
        each: the instruction.
        known: name -> instruction of its computation.
    """
    group = group_size(each.text)
    given = sum(known[name].size for name in each.operands if name in known)
    share = (group - 1) / group
    if kind == "all-gather":
        return given * (group - 1)
    if kind == "all-reduce":
        return 2 * given * share
    if kind == "collective-permute":
        return given
    return given * share


def group_size(text: str) -> int:
    """Return the number of chips in a replica group of a collective."""
    compact = re.search(r"replica_groups=\[(\d+),(\d+)\]", text)
    if compact:
        return int(compact[2])
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", text)
    if listed:
        return len(listed[1].split(","))
    named = re.search(r"replica_groups=mesh\[([^\]]*)\] ?\{([^}]*)\}", text)
    if named:
        sizes = {axis: int(size) for axis, size in re.findall(r"'([^']+)'=(\d+)", named[1])}
        # An axis may be split further: 'axis':(before)size uses only `size` of its chips.
        parts = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", named[2])
        return math.prod(int(part) if part else sizes.get(axis, 1) for axis, part in parts)
    return 2
