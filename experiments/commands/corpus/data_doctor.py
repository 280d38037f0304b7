"""`prismlab data doctor`: check a corpus before training."""

import argparse
import json
from typing import Any

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments

NAME = "data doctor"
HELP = "check shards or raw files: codecs, damage, duplicates, captions, and loader workers needed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "home",
        type=path_arguments.any_place,
        metavar="DIR|SPEC.gin",
        help="folder of shards, or a spec of `data prepare`",
    )
    parser.add_argument("bindings", nargs="*", metavar="BINDING", help="gin binding for SPEC.gin")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        type=path_arguments.any_place,
        metavar="DIR",
        help="shards of an evaluation set, to find duplicates; may be repeated",
    )
    parser.add_argument(
        "--sample", type=int, default=1000, help="clips to check per source; 0 for all (default: %(default)s)"
    )
    parser.add_argument(
        "--need", type=float, metavar="CLIPS_PER_SECOND", help="clips per second that training needs"
    )
    parser.add_argument("--frames", type=int, default=8, help="frames per clip (default: %(default)s)")
    parser.add_argument(
        "--resolution", type=int, default=288, help="frame size in pixels (default: %(default)s)"
    )
    parser.add_argument("--html", type=path_arguments.local, metavar="PAGE", help="write an HTML page")
    parser.add_argument("--json", type=path_arguments.local, metavar="FILE", help="write all results as JSON")


def run(options: argparse.Namespace) -> int:
    """Check the clips, print a summary, write page and file."""
    from prismlab.core.io import file_names, filesystem
    from prismlab.data.corpus import corpus_statistics, doctor, prepare_corpus
    from prismlab.experiments import console, html_page
    from prismlab.experiments.gin_strict import strict

    if options.sample < 0 or options.frames < 1 or options.resolution < 1:
        raise errors.UserError("--sample must be at least 0, --frames and --resolution at least 1")
    if options.need is not None and not options.need > 0:
        raise errors.UserError(f"--need must be above 0 clips per second, got {options.need}")
    home: Any = options.home
    if home.endswith(".gin"):
        home = strict.load(home, options.bindings, (prepare_corpus.Corpus,)).root
    elif options.bindings:
        raise errors.UserError("bindings need a SPEC.gin; a folder of shards takes none")
    homes = {
        file_names.readable(options.home): home,
        **{file_names.readable(each): each for each in options.against},
    }
    findings = doctor.examine(homes, options.sample, sampled=options.frames, resolution=options.resolution)
    if not findings:
        raise errors.UserError(f"{options.home}: expected at least one clip, found none")
    found = doctor.report(findings, options.need) | {"passed_over": doctor.passed_over(homes)}
    out = console.make_console()
    lines = [
        *_lines(found),
        *(f"passed over: {each}" for each in corpus_statistics.lines(found["passed_over"])),
    ]
    for line in lines:
        console.say(out, line)
    if options.json:
        filesystem.write_atomic(options.json, json.dumps(found, indent=2, ensure_ascii=False).encode())
    if options.html:
        details = json.dumps(found, indent=2, ensure_ascii=False)
        page = html_page.render("doctor.html", lines=lines, details=details)
        filesystem.write_atomic(options.html, page.encode())
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['clips']} clips checked: {_counts(found['kinds'])}; codecs: {_counts(found['codecs'])}"]
    for name in ("key_distance", "frames", "short_side"):
        if found[name]:
            spread = ", ".join(f"{word} {value:g}" for word, value in found[name].items())
            lines.append(f"{name.replace('_', ' ')}: {spread}")
    for title in ("problems", "captions"):
        for name, each in found[title].items():
            if each["clips"]:
                lines.append(f"{title}: {each['clips']} {name}; for example {each['examples'][0]}")
    lines.append(f"duplicates: {len(found['duplicates'])} pairs look the same")
    lines += [f"  {each['one']} = {each['other']}" for each in found["duplicates"][:5]]
    roof = found["roofline"]
    lines.append(f"input roofline: {roof['clips_per_second_per_core']:.1f} clips/s per core")
    if roof["workers"]:
        lines.append(
            f"the step needs {roof['need_clips_per_second']:g} clips/s: use {roof['workers']} workers"
        )
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
