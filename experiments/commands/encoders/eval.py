"""`prismlab eval`: evaluate a frozen encoder on the tasks of a gin file."""

import argparse

from prismlab.core import address_space, errors
from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "eval"
HELP = "evaluate a frozen encoder (a trained stage or a released model) on the tasks of a gin file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE.gin", help="gin file, or a shipped one (eval/world.gin)"
    )
    parser.add_argument("bindings", nargs="*", metavar="BINDING", help="gin binding, such as eval_frames=8")
    parser.add_argument(
        "--encoder",
        metavar="ENCODER",
        help="WORKDIR/STAGE of a run, a weight file (.bundle, .safetensors, .npz), a preset from `prismlab "
        "models`, or a .json file",
    )
    parser.add_argument("--weights", metavar="FILE", help="weight file of a released model")
    parser.add_argument("--workdir", type=path_arguments.path, help="work directory for scores and the table")
    shared_recipe.store(parser)
    parser.add_argument("--list", action="store_true", help="list the 33 benchmarks and exit")


def run(options: argparse.Namespace) -> int:
    """Evaluate the encoder, or list the benchmarks."""
    from prismlab.experiments import console

    out = console.make_console()
    if options.list:
        _list(out)
        return 0
    if options.file is None or options.encoder is None or options.workdir is None:
        raise errors.UserError("eval needs FILE.gin, --encoder and --workdir (or --list)")
    from prismlab.core.events import stop_signal
    from prismlab.experiments.encoders import evaluate, frozen_encoder
    from prismlab.experiments.gin_strict import strict
    from prismlab.experiments.report.evaluation_page import evaluation_report
    from prismlab.experiments.run import compilation_cache, transfer_guard
    from prismlab.experiments.store import store, work_directory
    from prismlab.experiments.tasks.evaluations import evaluation

    loaded = strict.load(options.file, options.bindings, (evaluation.Evaluation,))
    transfer_guard.check()
    cache = work_directory.default_cache()
    address_space.check()
    compilation_cache.enable(cache)
    kept = store.choose(options.workdir, options.store)
    encoder = frozen_encoder.load(options.encoder, options.weights)
    with (
        work_directory.claimed(options.workdir, loaded.root, loaded.text),
        stop_signal.Handlers(shared_recipe.stop_here),
    ):
        say = lambda done, total, what: console.say(out, f"[{done}/{total}] {what}")
        lines = evaluate.run(loaded.root, encoder, kept, cache, progress=say)
        evaluation_report.print_table(lines, encoder.name, out)
        work_directory.check_not_deleted(options.workdir)
        evaluation_report.write(lines, loaded.root.name, encoder.name, options.workdir, encoder.digest)
    console.say(out, f"written: {options.workdir}/evaluation.html, .md, .json")
    return 0


def _list(out: object) -> None:
    from prismlab.experiments import console
    from prismlab.experiments.tasks.evaluations import catalog

    heads = [
        "benchmark", "group", "split", "size", "classes", "metric", "protocol", "paper B", "paper g",
        "gin file",
    ]  # fmt: skip
    lines = [
        [
            row.benchmark, row.group, row.split, row.size, row.classes, row.metric, row.protocol,
            f"{row.base:g}", f"{row.giant:g}", row.gin or "not runnable yet",
        ]
        for row in catalog.ROWS
    ]  # fmt: skip
    console.table(out, heads, lines, numbers=("paper B", "paper g"))  # type: ignore[arg-type]
    for note in (catalog.PROTOCOL_NOTE, catalog.LANGUAGE_NOTE):
        console.say(out, note)  # type: ignore[arg-type]
