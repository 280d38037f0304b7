"""Check of the limit of virtual memory (`ulimit -v`), under which JAX hangs instead of failing."""

import resource

from prismlab.core import errors

# A tiny ablation maps 3.9 GiB on two cores, and below about 4 GiB compilation hung without an error; every
# core adds stacks of threads.
FEWEST_GIB = 8


def check() -> None:
    """Check that the process may map enough virtual memory to compile a program.

    Raises:
        UserError: the limit is below `FEWEST_GIB`.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < FEWEST_GIB * 2**30:
        raise errors.UserError(
            f"virtual memory is limited to {soft / 2**30:.1f} GiB (ulimit -v); expected at least "
            f"{FEWEST_GIB} GiB, because JAX maps more than it uses and hangs below that; run "
            "`ulimit -v unlimited`, and limit real memory by a container or a job scheduler"
        )
