"""Costs of Pallas kernels in optimized HLO, where a kernel is a call whose operations are not in the text."""

import dataclasses
import math
import re
from collections.abc import Iterable

from prismlab.core.nn import splash_attention

# The compiler names the call after the kernel.
_NAME = re.compile(r"splash_mha_([a-z]+)_")
_FLOATS = re.compile(r"(bf16|f16|f32)\[([\d,]+)\]")
_SIZE = {"bf16": 2, "f16": 2, "f32": 4}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one call of a kernel, besides reading its operands and writing its results once.

    Args:
        operations: FLOPs of its matrix products.
        bytes: bytes that it reads again.
    """

    operations: float
    bytes: float


def cost(name: str, opcode: str, operands: Iterable[str]) -> Cost:
    """Return the cost of an instruction; zero if it is not a kernel of this project.

    Args:
        name: of the instruction.
        opcode: of the instruction.
        operands: text of the instructions that give its operands; each begins with its shape.
    """
    found = _NAME.search(name) if opcode == "custom-call" else None
    if found is None or found[1] not in splash_attention.PRODUCTS:
        return Cost(0.0, 0.0)
    # The first array of floats is the query: [..., heads, positions, head width].
    dtype, extent = next(shape.groups() for text in operands if (shape := _FLOATS.match(text)))
    *rows, length, width = map(int, extent.split(","))
    size = found[1], math.prod(rows), length, width
    again = splash_attention.bytes_read_again(*size, _SIZE[dtype])
    return Cost(splash_attention.operations(*size), again)
