"""Static checks of a configuration (`prismlab check`): shapes, batch size, mesh, without a device or data."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import rich.console

from prismlab.core import errors, keys, trees, types
from prismlab.core.parallel import mesh, sharding, whole_leaves
from prismlab.core.train import learner, moving_average, objective_state, schedules
from prismlab.core.train.steps import accumulate
from prismlab.data.loader import source
from prismlab.experiments import console
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import initial_weights, stages
from prismlab.experiments.recipe.checks import shapes
from prismlab.experiments.released import released_weights

# Dtypes of activations; float16 overflows without loss scaling, which is not implemented.
DTYPES = ("float32", "bfloat16")


def abstract_stages(experiment: recipe.Experiment) -> dict[str, learner.Learner]:
    """Build the learner of each stage by shape only, including teachers.

    Args:
        experiment: stages in order.

    Returns:
        stage name -> learner with `jax.ShapeDtypeStruct` for arrays.

    Raises:
        UserError: a stage is inconsistent; names the first such stage.
    """
    stages.plan(experiment, experiment.seed)
    built: dict[str, learner.Learner] = {}
    faults = []
    for stage in experiment.stages:
        try:
            built[stage.name] = shapes.abstract_learner(stage, built)
            devices = stage.run.layout.make()
            mesh.check_batch(stage.batch_size, devices, stage.accumulate)
            accumulate.check(built[stage.name], stage.batch_size, stage.accumulate)
            sharding.of(built[stage.name], devices, stage.run.rules)
            stage.optimizer.build(stage.steps)
            check_shapes(stage, built[stage.name])
            check_learns(stage, built[stage.name])
            check_captions(stage, built[stage.name])
            moving_average.read(built[stage.name].towers, built[stage.name].objectives, stage.encoder)
            if stage.data.frames_of:
                check_lengths(stage, built[stage.name], shapes.abstract_teacher(stage, built))
            check_initial(stage, built)
        except (ValueError, TypeError) as error:
            faults.append(f"stage {stage.name!r}: {error}")
            break  # later stages depend on this one
    if faults:
        raise errors.UserError("\n".join(faults))
    return built


def check_shapes(stage: recipe.Stage, built: learner.Learner) -> None:
    """Check that the loader's clips and tokenizer match the towers.

    Raises:
        UserError: they differ; names both values.
    """
    tower: Any = built.towers["video"]
    for field in ("frames", "resolution"):
        expected, given = getattr(tower, field), getattr(stage.data, field)
        if expected != given:
            raise errors.UserError(
                f"video_encoder.FactorizedVideoEncoder.{field}={expected} but loader.Line.{field}={given}; "
                "set both to the same"
            )
    text = built.towers.get("text")
    if isinstance(text, types.CaptionTower) and text.vocabulary < stage.data.tokenizer.vocabulary:
        raise errors.UserError(
            f"text.TextTower.vocabulary={text.vocabulary} is smaller than "
            f"tokenizer.Tokenizer.vocabulary={stage.data.tokenizer.vocabulary}; set both to the same"
        )


def check_learns(stage: recipe.Stage, built: learner.Learner) -> None:
    """Check that training changes something, in the direction of a lower loss.

    Raises:
        UserError: all parameters are frozen, `frozen` names none, loss weights are negative or all 0,
            an objective cannot learn from this batch size, or a tower computes in an unsupported dtype.
    """
    for name, tower in built.towers.items():
        dtype = getattr(tower, "dtype", "float32")
        if dtype not in DTYPES:
            raise errors.UserError(f"tower {name!r}: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if not stage.steps:
        return
    # By path: `built` holds shapes only.
    own = trees.flatten(objective_state.without(built))
    paths = [name for name, leaf in own.items() if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    for part in stage.frozen:
        if not any(name == part or name.startswith(f"{part}/") for name in paths):
            raise errors.UserError(
                f"recipe.Stage.frozen: no parameter lies under {part!r}; paths look like {min(paths)!r}"
            )
    if all(any(name == part or name.startswith(f"{part}/") for part in stage.frozen) for name in paths):
        raise errors.UserError(f"recipe.Stage.frozen={stage.frozen} leaves nothing to train; set steps=0")
    weights = {name: getattr(each, "weight", 1.0) for name, each in built.objectives.items()}
    ends = [schedules.ends(weight) for weight in weights.values()]
    if not all(0 <= least <= most < float("inf") for least, most in ends) or not any(
        most for _, most in ends
    ):
        raise errors.UserError(f"weights of objectives must not be negative, nor all 0, got {weights}")
    for each in built.objectives.values():
        each.check_batch(stage.batch_size)


def check_captions(stage: recipe.Stage, built: learner.Learner) -> None:
    """Check that clips without captions are not all that objectives of captions get.

    Raises:
        UserError: every objective reads captions, and every source is a `source.WithoutCaptions`.
    """
    reads = [any(view.tower == "text" for view in each.views()) for each in built.objectives.values()]
    silent = all(isinstance(home, source.WithoutCaptions) for home in stage.data.sources.values())
    if stage.steps and silent and all(reads):
        raise errors.UserError(
            f"the sources {sorted(stage.data.sources)} have no captions, which the objectives "
            f"{sorted(built.objectives)} learn from; add a source with captions or an objective of clips"
        )


def check_lengths(stage: recipe.Stage, built: learner.Learner, teacher: Any) -> None:
    """Check that the objectives accept the number of frames of every source, by shape only.

    Args:
        stage: the configuration.
        built: its learner, by shape.
        teacher: its teacher's towers, by shape, or None.

    Raises:
        UserError: an objective does not accept a source; names the source and its frames.
    """
    for home, frames in sorted((stage.data.frames_of or {}).items()):
        side, words, b = stage.data.resolution, stage.data.tokenizer.length, stage.batch_size

        def loss(own: learner.Learner, frozen: Any, *, b=b, frames=frames, side=side, words=words) -> Any:
            video, text = jnp.zeros((b, frames, side, side, 3)), jnp.zeros((b, words), jnp.int32)
            batch = types.Batch(video, text, jnp.zeros((b, words)), jnp.ones(b))
            return own(batch, frozen, key=keys.seeded(0))

        try:
            eqx.filter_eval_shape(loss, built, teacher)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise errors.UserError(
                f"source {home!r} has {frames} frames, which the objectives {sorted(stage.objectives)} "
                f"do not accept ({reason[:120]}); use {stage.data.frames} or drop it from this stage"
            ) from error


def check_initial(stage: recipe.Stage, built: Mapping[str, learner.Learner]) -> None:
    """Check that init_from has what the stage takes from it, in the same shapes.

    Weights in folders are not read here; the engine checks them before training.

    Args:
        stage: the configuration.
        built: learners by shape of the stage and of those before it.

    Raises:
        UserError: a parent lacks a parameter, shapes differ, or no tower is shared.
    """
    mine = trees.flatten(built[stage.name])
    if not isinstance(stage.init_from, Mapping):
        theirs = _by_shape(stage.init_from, built)
    else:
        read = {path: _by_shape(parent, built) for path, parent in stage.init_from.items()}
        known = {path: each for path, each in read.items() if each is not None}
        parts = {path: known.get(path, {}) for path in read}
        theirs = initial_weights.merged(parts)
        initial_weights.check(stage.init_from, mine, theirs, known)
        if len(known) < len(read):
            theirs |= {name: leaf for name, leaf in mine.items() if name not in theirs}  # not known yet
    if theirs is not None:
        check_fit(stage, mine, theirs)


def _by_shape(parent: Any, built: Mapping[str, learner.Learner]) -> dict[str, Any] | None:
    """Return parameter -> shape of a parent, or None for a folder and for no parent."""
    if isinstance(parent, released_weights.Released):
        return trees.flatten({"towers": parent.abstract()})
    return trees.flatten(built[parent]) if parent in built else None


def check_fit(stage: recipe.Stage, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Check that arrays of init_from have the same shapes as those of the same name in the stage.

    Args:
        stage: the configuration.
        mine: parameter -> shape of the stage.
        theirs: parameter -> shape of the initial weights.

    Raises:
        UserError: shapes differ, or no tower is shared; names up to four arrays.
    """
    wrong = [name for name in mine.keys() & theirs.keys() if mine[name].shape != theirs[name].shape]
    if wrong:
        listed = ", ".join(f"{n} {theirs[n].shape} -> {mine[n].shape}" for n in sorted(wrong)[:4])
        raise errors.UserError(f"init_from={str(stage.init_from)!r} has other shapes: {listed}")
    if not any(name.startswith("towers/") for name in mine.keys() & theirs.keys()):
        raise errors.UserError(f"init_from={str(stage.init_from)!r} has no tower in common with this stage")


def show(root: recipe.Experiment | recipe.Ablation, out: rich.console.Console) -> None:
    """Print stages, objectives, parameter counts, steps and sources of a configuration.

    Args:
        root: the configured experiment or ablation.
        out: console to print to.

    Raises:
        UserError: the configuration is inconsistent.
    """
    rows = root.experiments() if isinstance(root, recipe.Ablation) else {root.name: root}
    heads = (
        "row", "stage", "objectives", "parameters", "steps", "batch", "sources", "from", "teacher"
    )  # fmt: skip
    lines, whole = [], []
    seen: set[str] = set()
    for label, experiment in rows.items():
        built = abstract_stages(experiment)
        for planned in stages.plan(experiment, experiment.seed):
            stage = planned.stage
            shared = " (shared)" if planned.address in seen else ""
            seen.add(planned.address)
            sizes = dict(stage.run.layout.make().shape)
            told = whole_leaves.advice(built[stage.name], sizes, stage.run.rules)
            whole += [f"stage {stage.name!r}: {told}"] if told else []
            lines.append([
                label, stage.name + shared, ", ".join(sorted(stage.objectives)),
                f"{trees.count(objective_state.without(built[stage.name])):,}",
                f"{stage.steps:,}", f"{stage.batch_size:,}",
                ", ".join(sorted(stage.data.sources)), initial_weights.text(stage.init_from),
                str(stage.teacher or "-"),
            ])  # fmt: skip
            label = ""
    console.table(out, heads, lines, numbers=("parameters", "steps", "batch"))
    console.say(out, "")
    if isinstance(root, recipe.Ablation):
        console.say(out, f"{len(rows)} rows, seeds {root.seeds}, {len(seen)} distinct stages per seed")
        for label, matches in root.matches().items():
            for match in matches:
                console.say(out, f"{label}: {match.text}")
    for told in dict.fromkeys(whole):
        console.say(out, told)
    console.say(out, f"devices: {len(jax.devices())} x {jax.devices()[0].device_kind}; nothing was trained")
