"""Benchmark the training step of each row of a gin file.

    python -m prismlab.experiments.bench.step_cost small_recipe.gin 'recipe.Experiment.name="bench"'

For each distinct stage of the rows, prints compile time, step time (median over steps), ratio to the first,
what the compiled program holds in memory (arguments, results and temporaries) and, on a device with a
published peak, the model FLOPs utilization. Steps of different stages alternate, so that ratios are robust to
noise; the peak of device memory is that of all stages together.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
import rich.table

from prismlab.core import allocator, keys
from prismlab.core.events import telemetry
from prismlab.core.train import learner
from prismlab.core.train.steps import step
from prismlab.experiments import console
from prismlab.experiments.cost import abstract_step, estimate
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A stage that is ready to be timed.

    Args:
        once: takes one step on random clips and returns its time in seconds.
        towers: towers of the stage.
        compiling: seconds of tracing and compilation.
        held: bytes of arguments, results and temporaries of the program; None if the backend does not say.
    """

    once: Callable[[], float]
    towers: learner.Towers
    compiling: float
    held: int | None


def prepared(stage: recipe.Stage, towers: learner.Towers | None) -> Prepared:
    """Build the learner of a stage and compile its step.

    Args:
        stage: the configuration.
        towers: teacher towers, or None.
    """
    teacher = towers if stage.teacher else None
    built = learner.build(stage.towers, stage.objectives, teacher, key=keys.seeded(0, "init"))
    optimizer = stage.optimizer.build(stage.steps)
    state = step.init(built, optimizer, stage.frozen, key=keys.seeded(0, "train"))
    compiled = step.compile_step(state, optimizer, stage.frozen, teacher)
    arrays = eqx.filter(state, eqx.is_array)
    fixed = eqx.filter(teacher, eqx.is_array)
    rng = np.random.default_rng(0)
    side, length = stage.data.resolution, stage.data.tokenizer.length
    batch = step.HostBatch(
        rng.integers(0, 255, (stage.batch_size, stage.data.frames, side, side, 3), np.uint8),
        rng.integers(1, 8, (stage.batch_size, length)).astype(np.int32),
        np.zeros((stage.batch_size, length), np.float32),
        np.ones(stage.batch_size, np.float32),
    )

    start = time.perf_counter()
    executable = compiled.lower(arrays, batch, fixed).compile()
    compiling = time.perf_counter() - start
    kinds = ("argument", "output", "temp")
    sizes = executable.memory_analysis()
    held = None if sizes is None else sum(getattr(sizes, f"{kind}_size_in_bytes") for kind in kinds)

    def once() -> float:
        nonlocal arrays
        start = time.perf_counter()
        arrays, named = executable(arrays, batch, fixed, compiled.placed())
        jax.block_until_ready((arrays, named))
        return time.perf_counter() - start

    return Prepared(once, built.towers, compiling, held and held - sizes.alias_size_in_bytes)


def main() -> None:
    """Time every distinct stage of the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default="quickstart.gin")
    parser.add_argument("bindings", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", help="comma-separated names of stages; the first stage is still built")
    options = parser.parse_args()
    allocator.keep_freed()  # as in `prismlab train`
    root = strict.load(options.file, options.bindings).root
    rows = root.experiments() if isinstance(root, recipe.Ablation) else {root.name: root}
    runs: dict[str, tuple[Prepared, list[float]]] = {}
    towers = None
    found: dict[str, tuple[str, recipe.Stage]] = {}
    device = jax.local_devices()[0]
    peak, mfu = telemetry.peak_of(device), dict[str, float]()
    for row, experiment in rows.items():
        for stage in experiment.stages:
            label = f"{stage.name} of {row!r}"
            timed = [describe.describe(getattr(stage, field)) for field in ("towers", "objectives", "frozen")]
            address = describe.address([*timed, stage.batch_size])
            if address not in found and peak and (not options.only or stage.name in options.only.split(",")):
                built = abstract_step.learners(experiment)
                mfu[label] = sum(estimate.fewest_of_batch(stage, built, stage.batch_size).values()) / peak
            found.setdefault(address, (label, stage))
    for label, stage in found.values():
        ready = prepared(stage, towers)
        if towers is None:  # copied, because the step donates its arrays
            towers = jax.tree.map(lambda x: x.copy() if eqx.is_array(x) else x, ready.towers)
        if not options.only or stage.name in options.only.split(","):
            ready.once()
            runs[label] = ready, []
    for _ in range(options.steps):
        for ready, times in runs.values():
            times.append(ready.once())
    table = rich.table.Table("stage", "compile s", "ms a step", "clips/s", "relative", "MiB", "MFU", box=None)
    medians = {label: statistics.median(seconds) for label, (_, seconds) in runs.items()}
    first = next(iter(medians.values()))
    sizes = {label: stage.batch_size for label, stage in found.values()}
    for label, seconds in medians.items():
        clips = sizes[label] / seconds
        ready = runs[label][0]
        share = f"{mfu[label] / seconds:.3f}" if label in mfu else ""
        table.add_row(
            label,
            f"{ready.compiling:.1f}",
            f"{1e3 * seconds:.1f}",
            f"{clips:.0f}",
            f"{seconds / first:.2f}",
            "" if ready.held is None else f"{ready.held / 2**20:.0f}",
            share,
        )
    out = console.make_console()
    out.print(table)
    used = (device.memory_stats() or {}).get("peak_bytes_in_use")
    console.say(out, f"{device.device_kind}" + (f", peak {used / 2**30:.1f} GiB" if used else ""))


if __name__ == "__main__":
    main()
