"""Benchmark the frozen evaluation: a second task on the same clips, and several heads at once.

    python -m prismlab.experiments.bench.ablation.evaluation_cost --clips 1000

Prints ratios of one run: the time of a first task (encoder pass and head) to that of a second one on the
same clips, whose features are stored; and the time of twenty heads on the same batches, and of eight with
batches of their own, to that of one, after compilation, with features in memory and with features streamed
from the encoder.
"""

import argparse
import functools
import pathlib
import tempfile
import time
from typing import Any

import jax
import numpy as np

from prismlab.core.towers import presets, video, video_encoder
from prismlab.data.loader import source
from prismlab.data.world import world
from prismlab.experiments import console
from prismlab.experiments.tasks import benchmark
from prismlab.experiments.tasks.features import encoder_pass, feature_set, keeping
from prismlab.experiments.tasks.heads import head_grid, probe, targets
from prismlab.experiments.tasks.interface import protocols
from prismlab.experiments.tasks.readers.rendered_world import rendered

RATES = tuple(np.geomspace(1e-4, 1e-1, 20).tolist())
HEADS: dict[str, Any] = {
    "1 head": {"learning_rates": RATES[:1], "seeds": 1},
    "20 heads": {"learning_rates": RATES, "seeds": 1},
    "8 heads with batches of their own": {"learning_rates": RATES[:1], "seeds": 8, "own_order": True},
}


def tower(options: argparse.Namespace) -> video.VideoTower:
    """Return a tower with random weights."""
    size = presets.Size(
        dim=options.dim, heads=4, mlp_dim=4 * options.dim, spatial_layers=options.layers, temporal_layers=2,
        text_layers=1,
    )  # fmt: skip
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder, size, options.frames, options.resolution, options.patch,
        scan=False, remat="none",
    )  # fmt: skip
    return video.VideoTower(encoder, key=jax.random.key(0))


def seconds(run: Any) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    jax.block_until_ready(jax.tree.leaves(run()))
    return time.perf_counter() - start


def train_heads(encoded: feature_set.Encoded, grid: head_grid.Grid) -> Any:
    """Train the paper's head on all items."""
    shape = encoded.features.take(np.zeros(1, np.int64)).shape[2:]
    make = probe.Make(probe.Attention(heads=4), shape, len(encoded.found.classes))
    labels, rows = targets.Targets.of(encoded.found), np.arange(len(encoded.found))
    return head_grid.fit([make], encoded.features, labels, rows, grid, seed=0).heads


def main() -> None:
    """Time tasks and heads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60, help="steps of a head")
    parser.add_argument("--batch", type=int, default=32, help="items of a step")
    options = parser.parse_args()
    say = functools.partial(console.say, console.make_console())
    how = protocols.Protocol(frames=options.frames, resolution=options.resolution)
    towers = {"video": tower(options)}
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder)
        rendering = functools.partial(
            world.World, clips=options.clips, frames=options.frames, resolution=options.resolution
        )
        train, test = (source.Rendered(rendering(split=split)) for split in ("train", "test"))
        for home in (train, test):
            home.open(cache)
        found = rendered.RenderedWorld(train, test, ("species",)).read("train", cache)
        # A short head: what is timed is the way to the features.
        quick = probe.Probe(probe.Attention(heads=4), head_grid.Grid(RATES[10:11], seeds=1, steps=2))
        task = functools.partial(benchmark.Benchmark, head=quick, protocol=how, batch_size=32)
        one, two = (task(rendered.RenderedWorld(train, test, (label,))) for label in ("species", "motion"))
        first = seconds(lambda: one(towers, seed=0, cache=cache))
        second = seconds(lambda: two(towers, seed=0, cache=cache))
        say(f"first task: {first:.2f} s")
        say(f"second task on the same clips: {second:.2f} s, 1/{first / second:.1f} of the first")

        encoder = encoder_pass.EncoderPass(towers["video"], how, 32)
        for mode, steps in (("memory", options.steps), ("streamed", 2)):
            encoded = keeping.Keeping(mode).encode(found, encoder, cache)
            times = {}
            for name, own in HEADS.items():
                grid = head_grid.Grid(steps=steps, batch_size=options.batch, standardise=False, **own)
                run = functools.partial(train_heads, encoded, grid)
                seconds(run)  # compiles
                times[name] = min(seconds(run) for _ in range(2))
            for name, value in times.items():
                share = value / times["1 head"]
                say(f"{name}, {steps} steps, features {mode}: {value:.2f} s, {share:.2f} of one head")


if __name__ == "__main__":
    main()
