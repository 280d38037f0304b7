"""Benchmark two memory layouts of dot-product attention at the shapes of the base encoder.

    python -m prismlab.experiments.bench.encoder.attention_speed [--rounds 9]

Both variants alternate in one process, so that their ratio is robust to noise.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import rich.table
from jaxtyping import Array

from prismlab.core.nn import attention
from prismlab.experiments import console

# (rows, positions) with 12 heads of width 64: attention within a frame, and over time at one patch.
SHAPES = {"spatial, one clip": (16, 256), "temporal, one clip": (256, 16)}
CAP = 50.0


def places_first(query: Array, key: Array, value: Array) -> Array:
    """Attention with arrays [rows, positions, heads, width], as in the release."""
    logits = CAP * jnp.tanh(jnp.einsum("rihk,rjhk->rhij", query, key) / CAP)
    return jnp.einsum("rhij,rjhk->rihk", jax.nn.softmax(logits, axis=-1), value)


def heads_first(query: Array, key: Array, value: Array) -> Array:
    """Attention as computed by `dot_product`."""
    return attention.attend_whole(query, key, value, None, CAP)


def main() -> None:
    """Time both variants, forward and backward."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    table = rich.table.Table(
        "shape", "pass", "places first ms", "heads first ms", "ratio", "largest difference"
    )
    for label, (rows, places) in SHAPES.items():
        parts = [jax.random.normal(jax.random.key(i), (rows, places, 12, 64)) for i in range(3)]
        for way in ("forward", "backward"):
            ways = []
            for each in (places_first, heads_first):
                loss = lambda *parts, each=each: jnp.sum(jnp.sin(each(*parts)))
                ways.append(jax.jit(each if way == "forward" else jax.grad(loss, argnums=(0, 1, 2))))
            before, after = (jax.tree.leaves(run(*parts)) for run in ways)
            off = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(before, after))
            seconds: list[list[float]] = [[], []]
            for _ in range(options.rounds):
                for run, taken in zip(ways, seconds):
                    start = time.perf_counter()
                    jax.block_until_ready(run(*parts))
                    taken.append(time.perf_counter() - start)
            old, new = (1e3 * statistics.median(taken) for taken in seconds)
            table.add_row(label, way, f"{old:.0f}", f"{new:.0f}", f"{new / old:.2f}", f"{off:.0e}")
    console.make_console().print(table)


if __name__ == "__main__":
    main()
