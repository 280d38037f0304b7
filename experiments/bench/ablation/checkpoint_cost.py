"""Benchmark checkpointing: time that the training loop is blocked by a save, and memory growth over saves.

    python -m prismlab.experiments.bench.ablation.checkpoint_cost videoprism_base.gin --saves 5
    python -m prismlab.experiments.bench.ablation.checkpoint_cost reproduce_small.gin --saves 30

Saves the state of the first stage of a recipe (parameters and optimizer) repeatedly to a temporary folder.
`blocked` is the time until `save` returns, `total` the time until the files are committed. No training step
runs concurrently, so blocked / total is an upper bound.
"""

import argparse
import pathlib
import statistics
import tempfile
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import rich.table

from prismlab.core import allocator, keys
from prismlab.core.train import learner
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.steps import step
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe

MIB = 2**20


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / MIB


def state_of(stage: recipe.Stage) -> step.TrainState:
    """Return the initial training state of a stage.

    Args:
        stage: a stage without a teacher.
    """
    built = learner.build(stage.towers, stage.objectives, None, key=keys.seeded(0, "init"))
    return step.init(built, stage.optimizer.build(stage.steps), stage.frozen, key=keys.seeded(0, "train"))


def bytes_of(state: Any) -> int:
    """Return the total bytes of the arrays of a state."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array)))


def main() -> None:
    """Save a state repeatedly and print time and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", default="reproduce_small.gin")
    parser.add_argument("bindings", nargs="*")
    parser.add_argument("--saves", type=int, default=30)
    parser.add_argument("--under", type=pathlib.Path, help="parent of the temporary folder")
    options = parser.parse_args()
    allocator.keep_freed()  # as in `prismlab train`
    root = strict.load(options.file, options.bindings).root
    state = state_of((root.base if isinstance(root, recipe.Ablation) else root).stages[0])
    blocked, total, held = [], [], []
    with tempfile.TemporaryDirectory(dir=options.under) as folder:
        saves = checkpoint.Checkpoints(pathlib.Path(folder))
        for at in range(1, options.saves + 1):
            state = eqx.tree_at(lambda s: s.step, state, jnp.asarray(at, state.step.dtype))
            jax.block_until_ready(eqx.filter(state, eqx.is_array))
            start = time.perf_counter()
            saves.save(state, {})
            blocked.append(time.perf_counter() - start)
            saves.wait()
            total.append(time.perf_counter() - start)
            held.append(resident())
        saves.close()
    # Skip the first saves, which start threads and fill buffer pools.
    steady = held[len(held) // 3 :]
    growth = np.polyfit(range(len(steady)), steady, 1)[0] if len(steady) > 1 else float("nan")
    table = rich.table.Table("state MiB", "blocked s", "total s", "blocked / total", "MiB a save", box=None)
    table.add_row(
        f"{bytes_of(state) / MIB:.0f}",
        f"{statistics.median(blocked):.3f}",
        f"{statistics.median(total):.3f}",
        f"{statistics.median(blocked) / statistics.median(total):.3f}",
        f"{growth:+.3f}",
    )
    out = console.make_console()
    out.print(table)
    out.print(f"resident MiB: {', '.join(f'{each:.0f}' for each in held)}", soft_wrap=True)


if __name__ == "__main__":
    main()
