"""glibc malloc settings that keep freed memory in the process, for faster steps on CPU.

XLA's CPU backend allocates its scratch memory at every step. By default glibc maps fresh pages for large
allocations and unmaps them when freed, so the kernel zeroes every page again: a third of the step time of a
small tower, measured with `experiments/bench/step_cost.py` (records, 2026-11-24).
"""

import ctypes

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST = 2**31 - 1


def keep_freed() -> bool:
    """Configure glibc to keep freed memory; call before threads start.

    A thread that started earlier has a heap of its own, which later threads share in turn. A block above
    64 MiB does not fit into such a heap: it is mapped and unmapped at every step.

    Returns:
        True if the settings were accepted; False on systems without glibc, where nothing is changed.
    """
    try:
        advise = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    wanted = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST))
    return all([advise(number, value) == 1 for number, value in wanted])
