"""Memory of the host process: scratch that XLA gives back after a step is kept for the next one.

XLA's CPU backend asks for its scratch anew every step. glibc answers large requests with fresh pages and
gives them back at once, and the kernel fills each page with zeros again: a third of a small tower's step,
measured with `experiments/bench/step_cost.py` (records, 2026-11-24).
"""

import ctypes

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST = 2**31 - 1


def keep_freed() -> bool:
    """Tell glibc to keep what is freed; call it before threads start.

    Returns:
        Whether the allocator took the advice; False on systems without glibc, where nothing is changed.
    """
    try:
        advise = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    wanted = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST))
    return all([advise(number, value) == 1 for number, value in wanted])
