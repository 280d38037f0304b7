"""`prismlab data prepare`: convert raw files to shards."""

import argparse
from typing import Any

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments, shared_recipe

NAME = "data prepare"
HELP = (
    "write the shards of a corpus from videos, captions, transcripts, tars or images; resumes if interrupted"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "file", metavar="SPEC.gin", help="gin file with a prepare_corpus.Corpus; see experiments/gin/corpus/"
    )
    parser.add_argument(
        "bindings", nargs="*", metavar="BINDING", help="gin binding, such as table.Table.path=\"'clips.csv'\""
    )
    parser.add_argument(
        "--out",
        required=True,
        type=path_arguments.any_place,
        metavar="DIR",
        help="folder or URL to write the shards to",
    )
    parser.add_argument(
        "--shard", default="1/1", metavar="i/n", help="write part i of n, for n hosts (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="worker processes; 0 uses this process (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the shards, resuming an earlier run if there is one."""
    from prismlab.core.events import stop_signal
    from prismlab.data.corpus import corpus_statistics, prepare_corpus
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict

    part = _part(options.shard)
    if options.workers < 0:
        raise errors.UserError(f"--workers must be at least 0, got {options.workers}")
    loaded = strict.load(options.file, options.bindings, (prepare_corpus.Corpus,))
    out = console.make_console()
    with stop_signal.Handlers(shared_recipe.stop_here), _Bar(out) as bar:
        manifest = prepare_corpus.prepare(
            loaded.root, options.out, part=part, processes=options.workers, text=loaded.text, progress=bar
        )
    if manifest is None:
        console.say(
            out, f"part {options.shard} is written; the run that finishes the last part writes the manifest"
        )
        return 0
    tally = manifest.statistics
    console.say(
        out,
        f"{tally['clips']} clips in {len(manifest.shards)} shards, {tally['rejected']} rejected; "
        f"written: {options.out}/manifest.json, card.md, rejected.jsonl",
    )
    for line in corpus_statistics.lines(tally["passed_over"]):
        console.say(out, f"passed over: {line}")
    return 0


def _part(text: str) -> tuple[int, int]:
    first, slash, last = text.partition("/")
    if slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise errors.UserError(f"--shard must be i/n with i from 1 to n, such as 1/4, got {text}")


class _Bar:
    """Progress bar whose length is set once the input was counted."""

    def __init__(self, out) -> None:
        self._out = out
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        from prismlab.experiments import console

        if self._bar is None:
            self._bar = console.Progress("prepare", total, console=self._out)
            self._bar.__enter__()
        self._bar.update(done)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *fault) -> None:
        if self._bar is not None:
            self._bar.__exit__(*fault)
