"""Measure temporary memory of the compiled video-text model, with and without chunked attention.

    python -m prismlab.experiments.bench.encoder.program_memory [--batch 2] [--frames 16]

Sizes are read from XLA's buffer assignment without running the program.
"""

import argparse
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import rich.table

from prismlab.core.nn import attention
from prismlab.core.weights import release_config, released, weight_formats
from prismlab.experiments import console

GIB = 2**30


def temporary_bytes(
    config: release_config.ReleaseConfig, batch: int, frames: int, way: str, whole: bool
) -> int:
    """Return the temporary bytes of one pass, in addition to weights, clips and results.

    Args:
        config: from `release_config.checked`, of kind "video_text".
        batch: clips.
        frames: frames per clip.
        way: "forward", or "backward" for the gradients of all weights of the video tower.
        whole: disable chunked attention, so that every logit matrix is materialized.
    """
    side = config.resolution
    model = weight_formats.abstract(config)
    arrays, static = eqx.partition(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    video = jax.ShapeDtypeStruct((batch, frames, side, side, 3), jnp.float32)

    def forward(arrays: Any, video: Any) -> Any:
        return released.embed(eqx.combine(arrays, static), video)[0]

    def loss(arrays: Any, video: Any) -> Any:
        return jnp.sum(jnp.sin(forward(arrays, video)))

    before = attention.LONG
    attention.LONG = sys.maxsize if whole else before
    try:
        # A new function object each time; otherwise jit reuses the cached trace.
        run = jax.jit(
            (lambda a, v: forward(a, v)) if way == "forward" else (lambda a, v: jax.grad(loss)(a, v))
        )
        analysis = run.lower(arrays, video).compile().memory_analysis()
    finally:
        attention.LONG = before
    assert analysis is not None, "this backend does not support memory_analysis"
    return analysis.temp_size_in_bytes


def show(model: str, batch: int, frames: int, out: rich.console.Console) -> None:
    """Print the memory of both passes with both kinds of attention.

    Args:
        model: a preset of kind "video_text".
        batch: clips.
        frames: frames per clip.
        out: console to print to.
    """
    config = release_config.checked(model)
    title = f"{model}, {batch} x {frames} frames, float32"
    table = rich.table.Table(title, "in pieces GiB", "matrix whole GiB", "ratio", box=None)
    for way in ("forward", "backward"):
        pieces, whole = (temporary_bytes(config, batch, frames, way, each) for each in (False, True))
        table.add_row(way, f"{pieces / GIB:.2f}", f"{whole / GIB:.2f}", f"{pieces / whole:.2f}")
    out.print(table)


def main() -> None:
    """Compile four programs and print their temporary memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="videoprism_lvt_public_v1_base")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    show(options.model, options.batch, options.frames, console.make_console())


if __name__ == "__main__":
    main()
