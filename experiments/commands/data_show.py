"""`prismlab data show`: exactly what a step saw, as one picture and one JSON."""

import argparse

from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "data show"
HELP = "draw what a step saw: frames, masks, captions, sources, crops"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    shared_recipe.arguments(parser)
    parser.add_argument("--stage", required=True, help="name of the stage")
    parser.add_argument("--step", required=True, type=int, help="from 0")
    parser.add_argument("--row", help="label of an ablation's row; default its base")
    parser.add_argument("--seed", type=int, help="default the experiment's own")
    parser.add_argument(
        "--out", required=True, type=path_arguments.local, metavar="DIR", help="where the files go"
    )


def run(options: argparse.Namespace) -> int:
    """Draw the step."""
    from prismlab.core import errors
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.recipe import check, recipe
    from prismlab.experiments.run import step_picture, work_directory

    root = strict.load(options.file, options.bindings).root
    if isinstance(root, recipe.Ablation):
        rows = root.experiments()
        if options.row is not None and options.row not in rows:
            raise errors.UserError(f"--row {options.row!r}: the rows are {list(rows)}")
        experiment = root.base if options.row is None else rows[options.row]
        seed = root.seeds[0]
    else:
        experiment, seed = root, root.seed
    stages = {stage.name: stage for stage in experiment.stages}
    if options.stage not in stages:
        raise errors.UserError(f"--stage {options.stage!r}: the stages are {list(stages)}")
    built = check.abstract_stages(experiment)[options.stage]
    told = step_picture.show(
        stages[options.stage],
        seed if options.seed is None else options.seed,
        options.step,
        work_directory.default_cache(),
        options.out,
        built,
    )
    bad = sum(bool(each["bad"]) for each in told["examples"])
    print(f"step {told['step']} of {told['stage']}: source {told['source']!r}, checksum {told['checksum']}")
    print(
        f"{len(told['examples'])} examples, {bad} placeholders: {options.out}/step-{told['step']}.png, .json"
    )
    return 0
