"""`prismlab data show`: the exact batch of a training step, as a picture and JSON."""

import argparse

from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "data show"
HELP = "draw the batch of a training step: frames, masks, captions, sources, crops"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)
    parser.add_argument("--stage", required=True, help="name of the stage")
    parser.add_argument("--step", required=True, type=int, help="step, from 0")
    parser.add_argument("--row", help="label of a row (default: the base experiment)")
    parser.add_argument("--seed", type=int, help="seed (default: the experiment's)")
    parser.add_argument(
        "--out", required=True, type=path_arguments.local, metavar="DIR", help="output folder"
    )


def run(options: argparse.Namespace) -> int:
    """Draw the batch."""
    from prismlab.core import errors
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import recipe
    from prismlab.experiments.recipe.addresses import stages
    from prismlab.experiments.recipe.checks import check
    from prismlab.experiments.results import step_picture
    from prismlab.experiments.store import work_directory

    root = strict.load(options.file, options.bindings).root
    if isinstance(root, recipe.Ablation):
        rows = root.experiments()
        if options.row is not None and options.row not in rows:
            raise errors.UserError(f"--row {options.row!r}: expected one of the rows {list(rows)}")
        experiment = root.base if options.row is None else rows[options.row]
        seed = root.seeds[0]
    else:
        experiment, seed = root, root.seed
    names = [stage.name for stage in experiment.stages]
    if options.stage not in names:
        raise errors.UserError(f"--stage {options.stage!r}: expected one of the stages {names}")
    planned = stages.plan(experiment, seed if options.seed is None else options.seed)
    built = check.abstract_stages(experiment)[options.stage]
    told = step_picture.show(
        planned[names.index(options.stage)],
        options.step,
        work_directory.default_cache(),
        options.out,
        built,
    )
    bad = sum(bool(each["bad"]) for each in told["examples"])
    console.write(
        f"step {told['step']} of {told['stage']}: source {told['source']!r}, checksum {told['checksum']}"
    )
    console.write(
        f"{len(told['examples'])} examples, {bad} padding examples: "
        f"{options.out}/step-{told['step']}.png, .json"
    )
    return 0
