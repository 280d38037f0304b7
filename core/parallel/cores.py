"""Cores of this machine: divide them among workers, and keep the process of a unit on those of its worker.

XLA starts a thread for each core that it may use. Processes that may use the same cores hinder each other
(`bench.shared_cores` measures it). Work is split among the threads, so that the last bits of a result depend
on the number of cores.
"""

import os

from prismlab.core import errors

VARIABLE = "PRISMLAB_CORES"


def usable() -> list[int]:
    """Return the numbers of the cores that this process may use, ascending; [] if the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def count() -> int:
    """Return the number of cores that this process may use, at least 1."""
    return len(usable()) or os.cpu_count() or 1


def shares(workers: int) -> list[dict[str, str]]:
    """Return the variable of each worker: equally many neighbouring cores, so that all train the same bits.

    Args:
        workers: at least 1.

    Returns:
        Empty dictionaries if the system does not say which cores there are, or there are more workers than
        cores: then every worker may use all.
    """
    numbers = usable()
    size = len(numbers) // workers
    if not size:
        return [{} for _ in range(workers)]
    parts = [numbers[index * size : (index + 1) * size] for index in range(workers)]
    return [{VARIABLE: ",".join(map(str, part))} for part in parts]


def keep_to(number: int) -> None:
    """Keep this process on as many of its cores, or on all if it has fewer; see `keep_to_share`."""
    if 0 < number < len(usable()):
        os.sched_setaffinity(0, usable()[:number])


def keep_to_share() -> None:
    """Keep this process and those that it starts on the cores in PRISMLAB_CORES, if it is set.

    Called before JAX starts its device: its threads are counted then.

    Raises:
        UserError: the variable lists no cores, or cores that this process may not use.
    """
    listed = os.environ.get(VARIABLE, "")
    if not listed or not hasattr(os, "sched_setaffinity"):
        return
    try:
        os.sched_setaffinity(0, {int(number) for number in listed.split(",")})
    except (ValueError, OverflowError, OSError):
        raise errors.UserError(
            f"{VARIABLE}={listed!r}: expected numbers of usable cores such as "
            f"{','.join(map(str, usable()[:2]))!r}; correct or unset it"
        ) from None
