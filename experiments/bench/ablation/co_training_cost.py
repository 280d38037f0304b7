"""Benchmark six stage-2 rows that train together, as a share of six single runs, and compare their digests.

    python -m prismlab.experiments.bench.ablation.co_training_cost
    python -m prismlab.experiments.bench.ablation.co_training_cost --like giant

The rows are stage 2 of `smoke.gin` with the proportions of a size of the paper, and clips that are decoded
whenever they are read, as in the full-scale recipes. They differ in numbers, masks and objectives. Rows that
train together share the batch and the teacher pass. By parameters times tokens, the teacher pass is .37 of a
step of base (16 layers of 768, a third of the tokens in the student, two decoders of 4 layers of 512) and .47
of one of giant (44 layers of 1408, the same decoders), so six rows cost .69 and .61 at best.
Both ways first run for a few steps, which compiles their programs; of the second run are the shares to
compare, in seconds of the wall clock and of all cores of this process.
"""

import argparse
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

from prismlab.core import allocator, errors, setup
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import co_trained, engine
from prismlab.experiments.store import work_directory

COMMON = (
    "SIZE=@presets.Size()", "presets.Size.dim=64", "presets.Size.heads=2", "presets.Size.mlp_dim=256",
    "presets.Size.temporal_layers=2", "presets.Size.text_layers=1", "loader.Line.cache_megabytes=0",
)  # fmt: skip
LIKE = {
    "base": ("presets.Size.spatial_layers=6",),
    "giant": (
        "presets.Size.spatial_layers=20", "video_encoder.FactorizedVideoEncoder.scan=True",
        "transformer_stack.Stack.count=2", "transformer_stack.Stack.dim=32",
        "transformer_stack.Stack.mlp_dim=128",
    ),
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "base": {},
    "rate": {"stage2.optimizer.schedule.peak": 2e-3},
    "decay": {"stage2.optimizer.weight_decay": 0.1},
    "weight": {"stage2.objectives.local.weight": 0.5},
    "weight of global": {"stage2.objectives.global.weight": 0.5},
    "mask": {"stage2.objectives.local.mask.visible": 0.3, "stage2.objectives.global.mask.visible": 0.3},
}
FIRST = 4  # steps of the run that compiles


def planned(steps: int, side: int, like: str) -> list[stages.Planned]:
    """Return the stage 2 of each row.

    Args:
        steps: of each.
        side: height and width of a frame in pixels.
        like: a size of the paper, see `LIKE`.
    """
    bindings = [f"RESOLUTION={side}", "recipe.Stage.steps=3", f"loop.Settings.checkpoint_every={steps}"]
    base = strict.load("smoke.gin", [*bindings, *COMMON, *LIKE[like]]).root.base
    first, second = base.stages
    base = dataclasses.replace(base, stages=(first, dataclasses.replace(second, steps=steps)))
    ablation = recipe.Ablation("cost", base, ROWS)
    prints = fingerprints.Fingerprints(work_directory.default_cache())
    return [line.stages[-1] for line in stages.lines(ablation.experiments(), (0,), prints)]


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of the wall clock and of all cores that a function takes."""
    wall, cores = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall, time.process_time() - cores


def both(rows: list[stages.Planned], folder: pathlib.Path) -> dict[str, tuple[float, float]]:
    """Train rows alone and together.

    Args:
        rows: of one group.
        folder: of the two work directories.

    Returns:
        "alone" and "together" -> seconds, as of `timed`.

    Raises:
        UserError: the digests differ.
    """
    found, digests = {}, {}
    for way in ("alone", "together"):
        (folder / way).mkdir(parents=True)
        runner = engine.Engine(folder / way, work_directory.default_cache(), console.silent())
        runner.train(rows[0].parents[0])

        def work(way: str = way, runner: engine.Engine = runner) -> None:
            if way == "together":
                co_trained.train(rows, runner)
            for each in rows:
                runner.train(each)

        found[way] = timed(work)
        done = [folder / way / "stages" / each.folder / stage_folder.DONE for each in rows]
        digests[way] = [(stage_folder.json_if_sound(each) or {})["digest"] for each in done]
    if digests["alone"] != digests["together"]:
        raise errors.UserError(f"expected equal digests, found {digests}")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="of each row (default: %(default)s)")
    parser.add_argument(
        "--side", type=int, default=32, help="side of a frame in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--like", choices=LIKE, default="base", help="proportions of which size (default: %(default)s)"
    )
    options = parser.parse_args()
    setup.hide_hints()
    allocator.keep_freed()  # as in `prismlab train`
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, steps in (("first run, with compilation", FIRST), ("second run", options.steps)):
            found = both(planned(steps, options.side, options.like), pathlib.Path(folder) / name.split()[0])
            for what, index in (("wall", 0), ("all cores", 1)):
                alone, together = found["alone"][index], found["together"][index]
                seconds = (f"{alone:.1f}", f"{together:.1f}", f"{together / alone:.2f}")
                lines.append([name, str(steps), what, *seconds, "equal"])
    heads = ("run", "steps", "seconds of", "alone", "together", "share", "digests")
    console.table(console.make_console(), heads, lines, numbers=("steps", "alone", "together", "share"))


if __name__ == "__main__":
    main()
