"""Benchmark a command that has nothing to do: `prismlab ablate` of a finished ablation, in its own process.

    python -m prismlab.experiments.bench.ablation.rerun_time
    python -m prismlab.experiments.bench.ablation.rerun_time quickstart.gin --workdir runs/quickstart

Runs the ablation until it is finished, then repeats the command. On a quiet core, the smallest wall time is
close to the processor time; on a busy machine the processor time is what counts.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from prismlab.core import errors
from prismlab.core.io import user_paths
from prismlab.experiments import console

UNCHANGED = "unchanged: "  # what the command prints if it did nothing


def once(file: str, workdir: pathlib.Path) -> tuple[float, float, str]:
    """Run `prismlab ablate` once.

    Args:
        file: gin file.
        workdir: work directory.

    Returns:
        Wall time and processor time, in seconds, and what it printed.

    Raises:
        UserError: it failed.
    """
    words = [sys.executable, "-m", "prismlab.experiments.main", "ablate", file, "--workdir", str(workdir)]
    before, began = os.times(), time.monotonic()
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    wall, after = time.monotonic() - began, os.times()
    if done.returncode:
        raise errors.UserError(f"prismlab ablate {file} failed: {done.stderr.strip()[-300:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent, done.stdout


def main() -> None:
    """Print the times of the repeated command."""
    parser = argparse.ArgumentParser(description="Time a command that has nothing to do.")
    parser.add_argument("file", nargs="?", default="smoke.gin", help="gin file of an Ablation")
    parser.add_argument("--workdir", type=user_paths.local, help="a finished one saves its training")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workdir = options.workdir or pathlib.Path(folder) / "run"
        first = once(options.file, workdir)
        if UNCHANGED not in first[2]:
            once(options.file, workdir)
        found = [once(options.file, workdir) for _ in range(options.repeats)]
    unchanged = sum(UNCHANGED in text for *_, text in found)
    heads = ("command", "runs", "unchanged", "wall s, smallest", "wall s, largest", "processor s, smallest")
    walls, spent = [each[0] for each in found], [each[1] for each in found]
    line = [f"ablate {options.file}", str(len(found)), str(unchanged)]
    line += [f"{value:.2f}" for value in (min(walls), max(walls), min(spent))]
    console.table(console.make_console(), heads, [line], numbers=heads[1:])


if __name__ == "__main__":
    main()
