"""Count what an ablation compiles whose rows differ only in numbers, with an empty compilation cache.

    python -m prismlab.experiments.bench.ablation.compile_count

Four rows of `smoke.gin` (the base, a learning rate, a weight decay and a weight) with two seeds are
trained in this process. For each stage it prints how many programs XLA compiled and the seconds of tracing
and compiling.
"""

import dataclasses
import pathlib
import tempfile
from typing import Any

import jax

from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import work_directory

ROWS: dict[str, dict[str, Any]] = {
    "base": {},
    "rate": {"stage2.optimizer.schedule.peak": 2e-3},
    "decay": {"stage2.optimizer.weight_decay": 0.1},
    "weight": {"stage2.objectives.local.weight": 0.5},
}
SEEDS = (0, 1)
WANTED = {"jaxpr_trace_duration": "traced", "jaxpr_to_mlir_module_duration": "lowered",
          "backend_compile_duration": "compiled"}  # fmt: skip


@dataclasses.dataclass
class Counter:
    """Programs and seconds since the last call of `lap`."""

    programs: int = 0
    seconds: float = 0.0

    def __call__(self, event: str, duration_secs: float, **more: str | int) -> None:
        """Count an event of jax.monitoring."""
        kind = WANTED.get(event.rsplit("/", 1)[-1])
        if kind is not None:
            self.seconds += duration_secs
            self.programs += kind == "compiled" and duration_secs > 0.2  # the others are single operations

    def lap(self) -> tuple[int, float]:
        """Return programs and seconds, and count from 0 again."""
        found = self.programs, self.seconds
        self.programs, self.seconds = 0, 0.0
        return found


def main() -> None:
    """Train the rows and print the table."""
    base = strict.load("smoke.gin").root.base
    ablation = recipe.Ablation("compile count", base, ROWS, SEEDS)
    counter = Counter()
    jax.monitoring.register_event_duration_secs_listener(counter)
    cache, trained = work_directory.default_cache(), set()
    with tempfile.TemporaryDirectory() as folder:
        lines = stages.lines(ablation.experiments(), SEEDS, fingerprints.Fingerprints(cache))
        runner = engine.Engine(pathlib.Path(folder), cache, console.silent())
        total = [0, 0.0]
        for line in lines:
            for planned in line.stages:
                if planned.address not in trained:
                    trained.add(planned.address)
                    counter.lap()
                    runner.train(planned)
                    programs, seconds = counter.lap()
                    total = [total[0] + programs, total[1] + seconds]
                    name = f"{planned.stage.name} of {line.label!r}, seed {line.seed}"
                    print(f"{name:36} {programs:3} programs {seconds:6.1f} s", flush=True)
    print(f"{len(trained)} stages: {total[0]} programs of more than 0.2 s, {total[1]:.1f} s")


if __name__ == "__main__":
    main()
