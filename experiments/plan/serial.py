"""Estimate the time of a compiled step with no overlap between its operations, from optimized HLO.

    serial = sum over operations of max(FLOPs / peak, memory bytes / memory rate)

The roofline bound assumes that computation and memory traffic of the whole step overlap; a chip runs one
operation after the other, so its time is nearer to this sum. FLOPs within this project's kernels follow
their formula (`kernels`); those within the compiler's own kernels are unknown, and `seconds_of` adds them at
peak.
"""

import dataclasses
import math
import re

import numpy as np

from prismlab.experiments.cost import chips
from prismlab.experiments.plan import hlo

_DIMENSIONS = re.compile(r"^\(?[a-z]\d*[a-z0-9]*\[([0-9,]*)\]")
_WINDOW = re.compile(r"window=\{([^}]*)\}")
_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")


@dataclasses.dataclass(frozen=True)
class Serial:
    """Time and traffic of one step on one chip, operation by operation.

    Args:
        seconds: sum over operations of the larger of their two times.
        operations: FLOPs of all matrix products in the text and in this project's kernels.
        padded_bytes: memory traffic with arrays padded to whole tiles.
    """

    seconds: float
    operations: float
    padded_bytes: float


def read(text: str, chip: chips.Chip) -> Serial:
    """Return the serial estimate of a module.

    Args:
        text: see `traffic.read`.
        chip: the chip, whose peak of bfloat16 products is used.
    """
    module, entry = hlo.parse(text)
    seconds = counted = 0.0
    for each, times, known in hlo.executed(module, entry):
        work = operations(each, known, module)
        seconds += times * max(work / chip.bfloat16, hlo.moved(each, known, module) / chip.memory_rate)
        counted += times * work
    padded, entry = hlo.parse(text, padded=True)
    traffic = sum(
        times * hlo.moved(each, known, padded) for each, times, known in hlo.executed(padded, entry)
    )
    return Serial(seconds, counted, traffic)


def seconds_of(found: Serial, products: float, chip: chips.Chip) -> float:
    """Return the serial time of a step, with the products that the text does not show.

    Args:
        found: the estimate from the text.
        products: FLOPs of the step according to its graph.
        chip: the chip.
    """
    return found.seconds + max(0.0, products - found.operations) / chip.bfloat16


def operations(
    each: hlo.Instruction, known: dict[str, hlo.Instruction], module: dict[str, list[hlo.Instruction]]
) -> float:
    """Return the FLOPs of the matrix products in one execution of an instruction; see `hlo.executed`."""
    if each.opcode == "fusion":
        called = re.search(r"calls=%?([\w.\-]+)", each.text)
        inside = module.get(called[1], []) if called else []
        names = {one.name: one for one in inside}
        return sum(operations(one, names, module) for one in inside)
    if each.opcode == "custom-call":
        return hlo.kernel_cost(each, known).operations
    if each.opcode not in ("dot", "convolution") or any(name not in known for name in each.operands[:2]):
        return 0.0
    left, right = (_dimensions(known[name].text) for name in each.operands[:2])
    out = _dimensions(each.text)
    if each.opcode == "dot":
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", each.text)
        axes = [int(axis) for axis in contracted[1].split(",") if axis] if contracted else []
        return 2.0 * math.prod(out) * math.prod(left[axis] for axis in axes)
    return _convolution(each.text, left, right, out)


def _dimensions(text: str) -> list[int]:
    found = _DIMENSIONS.match(text)
    return [int(part) for part in found[1].split(",") if part] if found else []


def _convolution(text: str, left: list[int], right: list[int], out: list[int]) -> float:
    """Return the FLOPs of a convolution; products of padding and of the holes of dilation are not counted.

    The TPU compiler writes batched matrix products as convolutions, whose batch is a spatial axis with a
    window that meets one element.
    """
    labels = _LABELS.search(text)
    if labels is None:
        return 0.0
    written = _WINDOW.search(text)
    window = dict(part.split("=", 1) for part in written[1].split()) if written else {}
    total = 2.0 * out[labels[3].index("b")] * out[labels[3].index("f")] * right[labels[2].index("i")]
    for place, axis in enumerate(sorted(label for label in labels[1] if label.isdigit())):
        option = lambda name, default, place=place: window.get(name, "").split("x")[place] or default
        given = {
            name: int(option(name, "1")) if name in window else 1
            for name in ("stride", "lhs_dilate", "rhs_dilate")
        }
        before = int(option("pad", "0_0").split("_")[0]) if "pad" in window else 0
        total *= _pairs(
            left[labels[1].index(axis)], right[labels[2].index(axis)], out[labels[3].index(axis)],
            before, given["stride"], given["lhs_dilate"], given["rhs_dilate"],
        )  # fmt: skip
    return total


def _pairs(
    size: int, kernel: int, out: int, before: int, stride: int, lhs_dilate: int, rhs_dilate: int
) -> int:
    """Return the number of (output, kernel position) pairs of one axis that meet an element of the input."""
    start = np.arange(out, dtype=np.int64) * stride - before
    end = (size - 1) * lhs_dilate
    if rhs_dilate == 1:  # multiples of lhs_dilate between the ends of the window and of the input
        first = -(-np.maximum(start, 0) // lhs_dilate)
        last = np.minimum(start + kernel - 1, end) // lhs_dilate
        return int(np.maximum(last - first + 1, 0).sum())
    met = start[:, None] + np.arange(kernel, dtype=np.int64) * rhs_dilate
    return int(((met % lhs_dilate == 0) & (met >= 0) & (met <= end)).sum())
