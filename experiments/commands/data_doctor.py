"""`prismlab data doctor`: a corpus examined before it is trained on."""

import argparse
import html
import json
from typing import Any

from prismlab.core import errors
from prismlab.experiments.commands import path_arguments

NAME = "data doctor"
HELP = "examine shards or raw files: codecs, damage, duplicates, captions, and the workers to book"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name what the command takes."""
    parser.add_argument("home", metavar="DIR|SPEC.gin", help="shards, or what `data prepare` would read")
    parser.add_argument("bindings", nargs="*", metavar="BINDING", help="for a SPEC.gin")
    parser.add_argument(
        "--against", action="append", default=[], metavar="DIR", help="an evaluation set's shards"
    )
    parser.add_argument("--sample", type=int, default=1000, help="clips of each; 0 for all (default 1000)")
    parser.add_argument("--need", type=float, metavar="CLIPS_PER_SECOND", help="what the training step takes")
    parser.add_argument("--frames", type=int, default=8, help="frames taken of a clip (default 8)")
    parser.add_argument("--resolution", type=int, default=288, help="side they are resized to (default 288)")
    parser.add_argument("--html", type=path_arguments.local, metavar="PAGE", help="write a page")
    parser.add_argument("--json", type=path_arguments.local, metavar="FILE", help="write all findings")


def run(options: argparse.Namespace) -> int:
    """Examine, print a summary, write page and file."""
    from prismlab.core.io import atomic
    from prismlab.data.corpus import doctor, prepare_corpus
    from prismlab.experiments import console
    from prismlab.experiments.gin_strict import strict

    if options.sample < 0 or options.frames < 1 or options.resolution < 1:
        raise errors.UserError("--sample wants 0 or more, --frames and --resolution 1 or more")
    if options.need is not None and not options.need > 0:
        raise errors.UserError(f"--need wants clips a second above 0, got {options.need}")
    home: Any = options.home
    if home.endswith(".gin"):
        home = strict.load(home, options.bindings, (prepare_corpus.Corpus,)).root
    elif options.bindings:
        raise errors.UserError("bindings belong to a SPEC.gin; a folder of shards has nothing to bind")
    homes = {options.home: home, **{each: each for each in options.against}}
    findings = doctor.examine(homes, options.sample, sampled=options.frames, resolution=options.resolution)
    if not findings:
        raise errors.UserError(f"{options.home}: wanted at least one clip to look at, found none")
    found = doctor.report(findings, options.need)
    out = console.make_console()
    for line in _lines(found):
        console.say(out, line)
    if options.json:
        atomic.write_atomic(options.json, json.dumps(found, indent=2, ensure_ascii=False).encode())
    if options.html:
        atomic.write_atomic(options.html, _page(found).encode())
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['clips']} clips looked at: {_counts(found['kinds'])}; codecs: {_counts(found['codecs'])}"
    ]
    for name in ("key_distance", "frames", "short_side"):
        if found[name]:
            spread = ", ".join(f"{word} {value:g}" for word, value in found[name].items())
            lines.append(f"{name.replace('_', ' ')}: {spread}")
    for title in ("problems", "captions"):
        for name, each in found[title].items():
            if each["clips"]:
                lines.append(f"{title}: {each['clips']} {name}; such as {each['examples'][0]}")
    lines.append(f"duplicates: {len(found['duplicates'])} pairs look the same")
    lines += [f"  {each['one']} = {each['other']}" for each in found["duplicates"][:5]]
    roof = found["roofline"]
    lines.append(f"input roofline: {roof['clips_per_second_per_core']:.1f} clips/s per core")
    if roof["workers"]:
        lines.append(
            f"the step needs {roof['need_clips_per_second']:g} clips/s: book {roof['workers']} workers"
        )
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _page(found: dict[str, Any]) -> str:
    rows = "".join(f"<li>{html.escape(line)}</li>\n" for line in _lines(found))
    detail = html.escape(json.dumps(found, indent=2, ensure_ascii=False))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>prismlab data doctor</title>\n'
        f"<h1>What the doctor found</h1>\n<ul>\n{rows}</ul>\n"
        f"<h2>All of it</h2>\n<pre>{detail}</pre>\n</html>\n"
    )
