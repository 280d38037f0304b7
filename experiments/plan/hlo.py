"""Parse optimized HLO text: instructions, how often each runs, and the memory traffic of one.

The body of a loop is multiplied by its trip count, taken from the compiler's annotation or else from the
bound in the loop condition. Bytes accessed follow the convention of XLA's cost analysis: each unfused
instruction reads its operands and writes its result, and a slice of a large array reads only the slice.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from prismlab.experiments.plan import kernels

WIDTH = {
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4,
    "s64": 8, "u64": 8, "f64": 8, "s4": 1, "u4": 1, "c64": 8, "f8e4m3fn": 1, "f8e5m2": 1,
}  # fmt: skip
# Instructions without memory traffic of their own; their bodies or their start instructions are counted.
STILL = frozenset([
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call",
    "after-all", "partition-id", "replica-id", "opt-barrier", "domain", "copy-done", "all-gather-done",
    "all-reduce-done", "collective-permute-done", "async-done", "async-update", "iota",
])  # fmt: skip
# The TPU compiler lets a collective run beside a chain of fusions: each of them repeats the collective with
# the number of the chain, and hands its buffers on.
CHAIN = "chain_id="
_ALIAS = re.compile(r"\{\d*\}: \((\d+), \{\}\)")  # {result}: (operand, {})
_SHAPE = re.compile(r"\b([a-z]\d*[a-z0-9]*)\[([0-9,]*)\](\{[^{}]*\})?")
_HEAD = re.compile(r"^\s*(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$")
_LINE = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"(?:^|[\s})\]])([a-z][a-z0-9\-]*)\(")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of HLO.

    Args:
        name: name of its result.
        opcode: HLO opcode.
        bytes: size of its result in device memory; scratch memory on the chip does not count.
        size: size of its result in any memory space, in bytes.
        operands: names of its operands.
        text: the whole line.
    """

    name: str
    opcode: str
    bytes: float
    size: float
    operands: tuple[str, ...]
    text: str


def executed(
    module: dict[str, list[Instruction]], entry: str
) -> Iterator[tuple[Instruction, int, dict[str, Instruction]]]:
    """Yield (instruction, number of executions, instructions of its computation by name)."""
    for computation, times in _reached(module, entry, 1, ()):
        known = {each.name: each for each in module[computation]}
        for each in module[computation]:
            yield each, times, known


def parse(text: str, padded: bool = False) -> tuple[dict[str, list[Instruction]], str]:
    """Return computation name -> instructions, and the name of the entry computation.

    Args:
        text: `compiled.as_text()`, or a dump of the optimized module.
        padded: whether sizes include the padding of arrays to whole tiles, as in device memory.
    """
    module: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head and " = " not in line.split("->")[0]:
            current = head[2]
            module[current] = []
            entry = current if head[1] else entry
        elif line.strip() == "}":
            current = None
        elif current is not None and (found := _LINE.match(line)):
            module[current].append(_instruction(found[2], found[3], padded))
    return module, entry


def _instruction(name: str, rest: str, padded: bool) -> Instruction:
    rest = rest.split(", metadata={")[0]
    opcode = _OPCODE.search(re.sub(r"\{[^{}]*\}", lambda m: " " * len(m[0]), rest))
    if opcode is None:
        return Instruction(name, "", 0.0, 0.0, (), rest)
    shape, after = rest[: opcode.start(1)], rest[opcode.end() :]
    inner = after.split(")", 1)[0]
    operands = tuple(re.findall(r"%([\w.\-]+)", inner)) or tuple(
        part.split()[-1] for part in inner.split(",") if part.strip()
    )
    sizes = list(_sizes(shape, padded))
    main = sum(size for size, local in sizes if not local)
    return Instruction(name, opcode[1], main, sum(size for size, _ in sizes), operands, rest)


def _sizes(shape: str, padded: bool) -> Iterator[tuple[float, bool]]:
    for dtype, extent, layout in _SHAPE.findall(shape):
        if dtype in WIDTH:
            dims = [int(part) for part in extent.split(",") if part]
            size = WIDTH[dtype] * float(math.prod(_tiled(dims, layout) if padded else dims))
            yield size, "S(1)" in layout  # memory space 1 is the chip's scratch memory


def _tiled(dims: list[int], layout: str) -> list[int]:
    """Return dimensions padded to whole tiles of a layout such as {2,1,0:T(8,128)(2,1)}."""
    found = re.match(r"\{([\d,]+):T\(([\d,]+)\)", layout)
    tiled = list(dims)
    for axis, tile in zip(found[1].split(","), reversed(found[2].split(","))) if found else ():
        tiled[int(axis)] = -(-dims[int(axis)] // int(tile)) * int(tile)
    return tiled


def _reached(
    module: dict[str, list[Instruction]], name: str, times: int, above: tuple[str, ...]
) -> Iterator[tuple[str, int]]:
    if name not in module or name in above:
        return
    yield name, times
    for each in module[name]:
        if each.opcode == "while":
            body = re.search(r"body=%?([\w.\-]+)", each.text)
            if body:
                yield from _reached(module, body[1], times * trips(each, module), (*above, name))
        elif each.opcode in ("call", "conditional"):
            called = re.findall(r"(?:to_apply|_computation)=%?([\w.\-]+)", each.text)
            listed = re.search(r"branch_computations=\{([^}]*)\}", each.text)
            called += [part.strip().lstrip("%") for part in listed[1].split(",")] if listed else []
            for one in called[:1]:
                yield from _reached(module, one, times, (*above, name))


def trips(loop: Instruction, module: dict[str, list[Instruction]]) -> int:
    """Return the trip count of a loop; 1 if it is unknown."""
    known = re.search(r'known_trip_count":?\{"?n"?:"?(\d+)', loop.text)
    if known:
        return int(known[1])
    condition = re.search(r"condition=%?([\w.\-]+)", loop.text)
    bounds = [
        int(value)
        for each in module.get(condition[1] if condition else "", [])
        if each.opcode == "constant" and (value := _constant(each.text)) is not None
    ]
    return max(bounds, default=1) or 1


def _constant(text: str) -> str | None:
    found = re.search(r"[su]\d+\[\][^ ]* constant\((\d+)\)", text)
    return found[1] if found else None


def moved(each: Instruction, known: dict[str, Instruction], module: dict[str, list[Instruction]]) -> float:
    """Return the bytes that one execution of an instruction moves; see `executed`."""
    if each.opcode in STILL or each.opcode.endswith("-start"):
        return 0.0
    if each.opcode == "dynamic-slice":
        return 2 * each.bytes
    if each.opcode == "dynamic-update-slice":
        return (
            2 * known[each.operands[1]].bytes if len(each.operands) > 1 and each.operands[1] in known else 0.0
        )
    name_inside = callee(each) if each.opcode == "fusion" else ""
    inside = module.get(name_inside, [])
    read = sum(
        min(known[name].bytes, _read_inside(place, known[name].bytes, name_inside, module))
        for place, name in enumerate(each.operands)
        if name in known
    )
    if any(CHAIN in one.text for one in inside):
        return read + each.bytes - _passed_on(each, known)
    updates = [one for one in inside if one.opcode == "dynamic-update-slice"]
    if updates and inside[-1].opcode in ("dynamic-update-slice", "bitcast", "tuple"):
        local = {one.name: one for one in inside}
        written = sum(local[one.operands[1]].size for one in updates if one.operands[1] in local)
        return read + min(each.bytes, 2 * written)
    return read + each.bytes + kernel_cost(each, known).bytes


def _passed_on(link: Instruction, known: dict[str, Instruction]) -> float:
    """Return the bytes of operands that are results as well, counted on both sides; see `CHAIN`."""
    places = [int(place) for place in _ALIAS.findall(link.text)]
    sizes = {place: known[link.operands[place]].bytes for place in places if link.operands[place] in known}
    return sum(sizes.get(place, 0.0) for place in places) + sum(sizes.values())


def kernel_cost(each: Instruction, known: dict[str, Instruction]) -> kernels.Cost:
    """Return what the text does not show of an instruction that calls a kernel; see `executed`."""
    return kernels.cost(each.name, each.opcode, (known[name].text for name in each.operands if name in known))


def _read_inside(place: int, whole: float, name: str, module: dict[str, list[Instruction]]) -> float:
    """Return the bytes that a fusion reads of an operand: only the slices if it does nothing but slice it."""
    inside = module.get(name, [])  # may hold further fusions
    mine = next(
        (one.name for one in inside if one.opcode == "parameter" and f"parameter({place})" in one.text), None
    )
    users = [one for one in inside if mine in one.operands]
    if not users:
        return whole
    read = 0.0
    for one in users:
        if one.opcode == "dynamic-slice":
            read += one.size
        elif one.opcode == "fusion":
            places = [at for at, name in enumerate(one.operands) if name == mine]
            read += sum(_read_inside(at, whole, callee(one), module) for at in places)
        elif one.opcode != "dynamic-update-slice" or one.operands[0] != mine:
            return whole
    return read


def callee(fusion: Instruction) -> str:
    """Return the name of the computation that an instruction calls; "" if it calls none."""
    found = re.search(r"calls=%?([\w.\-]+)", fusion.text)
    return found[1] if found else ""
