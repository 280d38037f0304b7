"""Benchmark training steps of processes that share all cores, and of processes on cores of their own.

    python -m prismlab.experiments.bench.shared_cores
    python -m prismlab.experiments.bench.shared_cores reproduce_small.gin --processes 4

Starts two groups of processes, one with all cores open to all, one with the shares that
`ablate --launcher local` gives to its workers. The groups take turns; the processes of a group take the steps
of a turn at the same time.
"""

import argparse
import os
import statistics
import subprocess
import sys

from prismlab.core import allocator
from prismlab.core.parallel import cores
from prismlab.experiments import console


def serve(file: str, steps: int) -> None:
    """Compile the first stage of a recipe; for each line of standard input, print the time of a step.

    Args:
        file: gin file.
        steps: how many are timed; the median is printed, in seconds.
    """
    from prismlab.experiments.bench import step_cost
    from prismlab.experiments.gin_strict import strict

    cores.keep_to_share()
    allocator.keep_freed()  # as in `prismlab train`
    experiments = strict.load(file, []).root.experiments()
    stage = next(stage for each in experiments.values() for stage in each.stages if stage.steps)
    prepared = step_cost.prepared(stage, None)
    prepared.once()
    for _ in sys.stdin:
        print(statistics.median(prepared.once() for _ in range(steps)), flush=True)


class Group:
    """Processes that take steps at the same time.

    Args (constructor):
        file: gin file.
        shares: variables of each process, see `cores.shares`.
        steps: steps of a turn.
    """

    def __init__(self, file: str, shares: list[dict[str, str]], steps: int):
        words = [sys.executable, "-m", "prismlab.experiments.bench.shared_cores", file, "--steps", str(steps)]
        flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"}
        pipe = subprocess.PIPE
        self._processes = [
            subprocess.Popen(
                [*words, "--one"], env=os.environ | flags | share, stdin=pipe, stdout=pipe, encoding="utf-8"
            )
            for share in shares
        ]

    def turn(self) -> float:
        """Return the time of a step in seconds, the mean over processes."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return statistics.mean(
            float(process.stdout.readline()) for process in self._processes if process.stdout
        )

    def end(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()


def main() -> None:
    """Print the step times and their ratio."""
    parser = argparse.ArgumentParser(description="Time steps of processes that share cores.")
    parser.add_argument(
        "file", nargs="?", default="quickstart.gin", help="gin file of an Ablation (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a process of a `Group`
    options = parser.parse_args()
    if options.one:
        serve(options.file, options.steps)
        return
    shares: dict[str, list[dict[str, str]]] = {
        "all cores open to all": [{} for _ in range(options.processes)],
        "cores of their own": cores.shares(options.processes),
    }
    groups = {name: Group(options.file, each, options.steps) for name, each in shares.items()}
    for group in groups.values():
        group.turn()
    turns = {name: list[float]() for name in groups}
    for _ in range(options.turns):
        for name, group in groups.items():
            turns[name].append(group.turn())
    for group in groups.values():
        group.end()
    for name, found in turns.items():
        console.tell(f"{name}: {1000 * statistics.median(found):.0f} ms a step")
    shared, own = turns.values()
    console.tell(f"ratio: {statistics.median(b / a for a, b in zip(shared, own, strict=True)):.2f}")


if __name__ == "__main__":
    main()
