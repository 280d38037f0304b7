"""Parse the compiler's buffer assignment: bytes of device memory that a compiled step holds.

The memory report of the compiler also counts thread-local buffers (arguments of programs that run on
another core of the chip, such as SparseCore gathers), which are aliases of buffers counted already, and
buffers of other memory spaces, which have a color. Neither takes device memory.
"""

import re

_ALLOCATION = re.compile(r"^allocation \d+: .*$", re.MULTILINE)
_SIZE = re.compile(r"\bsize (\d+)")
_ELSEWHERE = re.compile(r"\bthread-local\b|\bcolor [1-9]")


def held(text: str) -> float | None:
    """Return the bytes of device memory that a program holds: arguments, outputs and temporaries.

    Args:
        text: the dump `*after_optimizations-buffer-assignment.txt`.

    Returns:
        The sum of all allocations that are neither thread-local nor in another memory space; None if the
        text lists no allocation.
    """
    lines = [line for line in _ALLOCATION.findall(text) if not _ELSEWHERE.search(line)]
    sizes = [found[1] for line in lines if (found := _SIZE.search(line))]
    return float(sum(map(int, sizes))) if sizes else None
