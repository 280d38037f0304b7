"""`prismlab plan`: resources that a recipe needs on other machines."""

import argparse

from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "plan"
HELP = "estimate whether every stage fits a TPU slice, GPU or CPU, with lower bounds of step time and cost"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    shared_recipe.arguments(parser)
    parser.add_argument(
        "--topology",
        required=True,
        metavar="T[,T...]",
        help="machines, such as v5p:4x4x8,v6e:16x16,gpu:h100,gpu:rtx4090x2,cpu",
    )
    parser.add_argument("--chips-sweep", action="store_true", help="plan every slice size of these chips")
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        help="plan only this stage (default: all stages); may be repeated",
    )
    parser.add_argument("--estimate", action="store_true", help="do not compile; seconds instead of minutes")
    parser.add_argument(
        "--search", action="store_true", help="also compile the largest batch, not only estimate it"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=1800.0,
        help="time limit of one compilation in seconds (default: %(default)s)",
    )
    parser.add_argument("--prices", type=path_arguments.local, help="JSON file: chip -> dollars per hour")
    parser.add_argument("--json", type=path_arguments.local, metavar="OUT", help="write all results as JSON")
    parser.add_argument("--html", type=path_arguments.local, metavar="PAGE", help="write an HTML page")


def run(options: argparse.Namespace) -> int:
    """Plan every stage of every row on every topology."""
    import jax

    # Plan on the CPU: with libtpu installed, jax would look for a TPU.
    jax.config.update("jax_platforms", "cpu")

    from prismlab.core import errors
    from prismlab.experiments import console
    from prismlab.experiments.cost import abstract_step, chips
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.plan import choices, compiled, plan_tables, stage_plan, topology
    from prismlab.experiments.store import work_directory

    machines = topology.parse_all(options.topology)
    if options.chips_sweep:
        machines = list(dict.fromkeys(each for one in machines for each in topology.sweep(one)))
    prices = chips.prices(options.prices)
    root = strict.load(options.file, options.bindings).root
    jobs = choices.jobs(root)
    names = [job.stage.name for job in jobs]
    unknown = [name for name in options.stage if name not in names]
    if unknown:
        raise errors.UserError(f"--stage {unknown[0]!r}: expected one of the stages {sorted(set(names))}")
    jobs = [job for job in jobs if not options.stage or job.stage.name in options.stage]
    if any(each.compiles for each in machines) and not options.estimate:
        compiled.check_compiler()
    how = stage_plan.Options(
        options.file, tuple(options.bindings), not options.estimate, options.search, options.limit, prices,
        work_directory.default_cache(),
    )  # fmt: skip
    out = console.make_console()
    entries: list[stage_plan.Entry] = []
    faults: list[str] = []
    for job in jobs:
        built = abstract_step.learners(job.experiment)
        for where in machines:
            console.say(out, f"{job.stage.name} ({job.row}) on {where.text} ...")
            try:
                entries.append(stage_plan.entry(job, built, where, how))
            except errors.UserError as error:
                faults += [f"{where.text}, {job.stage.name}: {told}" for told in str(error).splitlines()]
    entries.sort(key=lambda entry: [each.text for each in machines].index(entry.topology))
    plan_tables.show(entries, faults, out)
    if options.json:
        plan_tables.write_json(entries, faults, options.json)
    if options.html:
        plan_tables.write_html(entries, faults, root.name, options.html)
    if not entries:
        raise errors.UserError("no stage could be planned:\n" + "\n".join(faults))
    return 0
