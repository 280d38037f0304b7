"""Take two training steps of every stage of the small recipes, at tiny size.

`python tests/golden/make_steps.py` writes `steps.json` beside it, with which
tests/experiments/test_golden_steps.py compares. Run it only after a change that is meant to alter results,
and say in the commit what changed and why.
"""

import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, TypeAlias

if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"  # compiles several times faster, as in the tests

import equinox as eqx
import jax
import numpy as np

from prismlab.core import trees
from prismlab.core.train import learner
from prismlab.core.train.steps import step
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe.addresses import initial_weights, stages
from prismlab.experiments.run import initial_state

# Address of a stage -> its learner after the last step, and what its steps gave.
Trained: TypeAlias = dict[str, tuple[learner.Learner, dict[str, Any]]]
FILE = pathlib.Path(__file__).with_name("steps.json")
STEPS = 2
TINY = (
    "SIZE=@presets.Size()",
    "presets.Size.dim=8",
    "presets.Size.heads=2",
    "presets.Size.mlp_dim=16",
    "presets.Size.spatial_layers=1",
    "presets.Size.temporal_layers=1",
    "presets.Size.text_layers=1",
    "transformer_stack.Stack.dim=8",
    "transformer_stack.Stack.mlp_dim=16",
    "video.VideoTower.pooler_heads=2",
    "global_distillation.GlobalDistillation.pooler_heads=2",
    "FRAMES=2",
    "RESOLUTION=16",
    "CLEAN_CLIPS=16",
    "SPEECH_CLIPS=8",
    "TEST_CLIPS=8",
    "recipe.Stage.batch_size=4",
)
SHORT = (
    f"STAGE1_STEPS={STEPS}",
    f"STAGE2_STEPS={STEPS}",
    f"CONTINUED_STEPS={STEPS}",
    f"LIT_STEPS={STEPS}",
    "stage1/optim.Schedule.warmup_steps=1",
    "stage2/optim.Schedule.warmup_steps=1",
)
SMOKE = (f"recipe.Stage.steps={STEPS}", "optim.Schedule.warmup_steps=1")
# The corpus recipe, with rendered clips in place of shards that a user prepares.
RENDERED = ("FILES=%CLEAN", "TALKS=%SPEECH", "IMAGES=%TEST")
RECIPES = {
    "smoke.gin": SMOKE,
    "corpus/smoke_corpus.gin": (*SMOKE, *RENDERED),
    "quickstart.gin": SHORT,
    "reproduce_small.gin": (*SHORT, f"JOINT_STEPS={STEPS}", "part/world.World.clips=4"),
}


def steps_of(name: str, cache: pathlib.Path, trained: Trained) -> dict[str, dict[str, Any]]:
    """Return what the first steps of each stage of a recipe give.

    Args:
        name: a recipe of `RECIPES`.
        cache: where rendered clips are kept.
        trained: stages of recipes before it, which are not trained again; those of this one are added.

    Returns:
        "row: stage" of each distinct stage -> "metrics" (a dict for each step), "parameters" (sum of squares
        after the last step) and "batches" (sums over the pixels and token ids of each step).
    """
    ablation = strict.load(name, [*TINY, *RECIPES[name]]).root
    found = {}
    for line in stages.lines(ablation.experiments(), [0]):
        for planned in line.stages:
            if planned.address not in trained:
                trained[planned.address] = _train(planned, trained, cache)
            if planned.stage.steps:
                numbers = trained[planned.address][1]
                if numbers not in found.values():
                    found[f"{line.label}: {planned.stage.name}"] = numbers
    return found


def _train(
    planned: stages.Planned, trained: Trained, cache: pathlib.Path
) -> tuple[learner.Learner, dict[str, Any]]:
    """Train one stage as the engine does, without files."""
    stage, seed = planned.stage, planned.seed
    teacher = arrays = None
    if isinstance(planned.teacher, stages.Planned):
        teacher = trained[planned.teacher.address][0].towers
    of = lambda parent: jax.tree.map(np.asarray, trees.flatten(trained[parent.address][0]))
    if isinstance(planned.init_from, Mapping):
        arrays = initial_weights.merged({path: of(each) for path, each in planned.init_from.items()})
    elif planned.init_from is not None:
        arrays = of(planned.init_from)
    optimizer = stage.optimizer.build(stage.steps)
    built, _ = initial_state.build(stage, seed, teacher, arrays)
    state = initial_state.state(stage, seed, planned.position, built, optimizer)
    opened = stage.data.open(stage.batch_size, stage.steps, seed, planned.position, cache)
    compiled = step.compile_step(state, optimizer, stage.frozen, teacher)
    moving, static = eqx.partition(state, eqx.is_array)
    numbers: dict[str, Any] = {"metrics": [], "batches": []}
    for at in range(stage.steps):
        batch = opened.batch(at)
        numbers["batches"].append(
            {key: float(np.sum(batch[key], dtype=np.float64)) for key in ("video", "text_ids")}
        )
        moving = jax.tree.map(lambda leaf: leaf.copy(), moving)  # the step takes over the buffers
        moving, named = compiled(moving, step.HostBatch(**batch), eqx.filter(teacher, eqx.is_array))
        numbers["metrics"].append({key: float(mean.value) for key, mean in sorted(named.items())})
    state = eqx.combine(moving, static)
    leaves = trees.flatten(state.learner).values()
    numbers["parameters"] = float(sum(np.sum(np.square(np.asarray(leaf, np.float64))) for leaf in leaves))
    return state.learner, numbers


def main() -> None:
    """Write the file."""
    trained: Trained = {}
    with tempfile.TemporaryDirectory() as cache:
        found = {name: steps_of(name, pathlib.Path(cache), trained) for name in RECIPES}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
