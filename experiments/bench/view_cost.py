"""Benchmark forward and backward pass of the student by mask and fraction of visible tokens.

    python -m prismlab.experiments.bench.view_cost --spatial-layers 3 --temporal-layers 1 --visible 0.35

Prints the ratio to the dense pass; dense and masked passes alternate in one run. Reduce the number of layers
on a CPU: the ratio depends on the cost of a layer, not on their number.
"""

import argparse
import dataclasses
import functools
import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import rich.table

from prismlab.core.towers import presets, video, video_encoder
from prismlab.core.train import masking
from prismlab.experiments import console


def main() -> None:
    """Time one tower under tube and block masks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="base")
    parser.add_argument("--spatial-layers", type=int, default=3)
    parser.add_argument("--temporal-layers", type=int, default=1)
    parser.add_argument("--resolution", type=int, default=288)
    parser.add_argument("--patch", type=int, default=18)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--visible", type=float, nargs="+", default=[0.35, 0.65])
    options = parser.parse_args()
    size = dataclasses.replace(
        getattr(presets, options.size)(),
        spatial_layers=options.spatial_layers,
        temporal_layers=options.temporal_layers,
    )
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder,
        size,
        options.frames,
        options.resolution,
        options.patch,
        scan=False,
        remat="none",
    )
    tower = video.VideoTower(encoder, key=jax.random.key(0))
    moving, still = eqx.partition(tower, eqx.is_inexact_array)
    clips = jax.random.uniform(
        jax.random.key(1), (options.batch, options.frames, options.resolution, options.resolution, 3)
    )

    def gradient(mask: masking.Mask | None):
        def loss(moving, key):
            tower = eqx.combine(moving, still)
            if mask is None:
                return jnp.mean(tower(clips).tokens.x ** 2)
            place = masking.sample_batch(mask, options.batch, tower.frames, tower.patches, key=key)
            return jnp.mean(tower(clips, place=place, tube=mask.tube).tokens.x ** 2)

        return jax.jit(jax.grad(loss))

    masks: dict[str, masking.Mask | None] = {"dense": None}
    for visible in options.visible:
        masks[f"tube {visible}"], masks[f"block {visible}"] = (
            masking.Tube(visible),
            masking.BlockTube(visible),
        )
    runs = {name: gradient(mask) for name, mask in masks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(options.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run(moving, jax.random.key(repeat)))
            if repeat:  # the first call compiles
                seconds[name].append(time.perf_counter() - start)
    table = rich.table.Table("view", "ms", "of dense", box=None)
    dense = statistics.median(seconds["dense"])
    for name, found in seconds.items():
        median = statistics.median(found)
        table.add_row(name, f"{1e3 * median:.1f}", f"{median / dense:.2f}")
    console.make_console().print(table)


if __name__ == "__main__":
    main()
