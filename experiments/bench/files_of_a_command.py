"""Count the files of prismlab in which a function runs while a command does its work.

    python -m prismlab.experiments.bench.files_of_a_command embed a.mp4 --model m.json --out a.npz

Imports do not count. Prints the number and the files, most calls first.
"""

import collections
import os
import pathlib
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from prismlab.experiments import main as commands

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_IN_A_FUNCTION = 0x2  # CO_NEWLOCALS: no code of a module


def count(arguments: Sequence[str]) -> collections.Counter[str]:
    """Return file -> calls of its functions during a command of this process.

    Args:
        arguments: after `prismlab`.
    """
    calls: collections.Counter[str] = collections.Counter()
    prefix = f"{_ROOT}{os.sep}"

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_flags & _IN_A_FUNCTION:
            calls[frame.f_code.co_filename] += 1

    threading.setprofile(called)
    sys.setprofile(called)
    try:
        commands.main(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # the stub knows no None
    found: collections.Counter[str] = collections.Counter()
    for name, times in calls.items():
        if (real := os.path.realpath(name)).startswith(prefix):
            found[real.removeprefix(prefix)] += times
    return found


def main() -> None:
    """Count and print."""
    found = count(sys.argv[1:])
    print(f"{len(found)} files")
    for name, times in found.most_common():
        print(f"{times:8} {name}")


if __name__ == "__main__":
    main()
