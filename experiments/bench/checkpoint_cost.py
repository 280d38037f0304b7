"""How long a save stops the training, and whether memory stays flat over many of them.

    python -m prismlab.experiments.bench.checkpoint_cost videoprism_base.gin --saves 5
    python -m prismlab.experiments.bench.checkpoint_cost reproduce_small.gin --saves 30

Saves the state of a recipe's first stage (parameters and optimizer) again and again into a temporary folder.
`blocked` is what the loop waits for, `total` lasts until the files are committed; no step runs beside it, so
the share is the loop's worst.
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

from prismlab.core import keys
from prismlab.core.train import allocator, checkpoint, learner, step
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe

MIB = 2**20


def resident() -> float:
    """Return the MiB that this process holds."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


def state_of(stage: recipe.Stage) -> step.TrainState:
    """Return the first state of a stage.

    Args:
        stage: one that needs no teacher.
    """
    built = learner.build(stage.towers, stage.objectives, None, key=keys.seeded(0, "init"))
    return step.init(built, stage.optimizer.build(stage.steps), stage.frozen, key=keys.seeded(0, "train"))


def bytes_of(state: Any) -> int:
    """Return the bytes of a state's arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array)))


def main() -> None:
    """Save a state many times and print seconds and memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", default="reproduce_small.gin")
    parser.add_argument("bindings", nargs="*")
    parser.add_argument("--saves", type=int, default=30)
    parser.add_argument("--under", type=pathlib.Path, help="where the temporary folder is made")
    options = parser.parse_args()
    allocator.keep_freed()  # as the command does
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
    # The first saves start threads and fill pools of buffers; flat means flat after them.
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
