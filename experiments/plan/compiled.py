"""Ahead-of-time compilation in a subprocess with a time limit; failures become one-line messages."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.plan import buffers, serial, topology, traffic


@dataclasses.dataclass(frozen=True)
class Request:
    """A training step to compile ahead of time.

    Args:
        file: the gin file.
        bindings: gin bindings from the command line.
        row: label of the row.
        stage: name of the stage.
        topology: for example "v5p:4x4x8".
        batch_size: global batch in clips.
        remat: rematerialization policy; None keeps the configured one.
        whole: compile to machine code. Otherwise the compiler is stopped after buffer assignment, which
            determines memory and collectives; code generation takes most of the compile time.
        rows: how many equal rows train together in the program (`co_training`); 1 is the step of one.
    """

    file: str
    bindings: tuple[str, ...]
    row: str
    stage: str
    topology: str
    batch_size: int
    remat: str | None = None
    whole: bool = False
    rows: int = 1


@dataclasses.dataclass(frozen=True)
class Answer:
    """Result of one compilation.

    Args:
        fits: whether the step fits into the memory of a chip.
        report: bytes and traffic, see `compile_worker.compile_request`; only "needed" if it does not fit.
        problem: one-line error with advice; "" if there is none.
    """

    fits: bool
    report: dict[str, Any]
    problem: str = ""

    @property
    def bytes(self) -> float | None:
        """Bytes of memory that the step needs per chip, or None if unknown."""
        if "needed" in self.report:
            return float(self.report["needed"])
        if "assigned" in self.report:
            return float(self.report["assigned"] + self.report.get("code", 0))
        parts = ("arguments", "temporary", "output", "code")
        return float(sum(self.report[part] for part in parts)) if "arguments" in self.report else None


def check_compiler() -> None:
    """Check that the TPU compiler is installed.

    Raises:
        UserError: libtpu is missing; the message has the command that installs it.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise errors.UserError(
            "planning for a TPU needs its compiler, libtpu, which is not installed: "
            f"{errors.install_extra('tpu')} (a TPU itself is not needed), or plan for --topology cpu or "
            "gpu:h100"
        )


def run(request: Request, limit: float, cache: pathlib.Path | None = None) -> Answer:
    """Compile one step.

    Args:
        request: what to compile.
        limit: seconds after which the compiler is stopped.
        cache: directory that caches answers by request and source code, or None.

    Returns:
        The answer; compiler errors are returned as its `problem`, not raised.
    """
    asked = json.dumps(dataclasses.asdict(request), sort_keys=True)
    kept = None if cache is None else cache / "plan" / f"{_address(asked)}.json"
    if kept is not None and kept.exists():
        return understood(json.loads(kept.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        report = _report(json.loads(asked) | {"dump": folder}, limit, pathlib.Path(folder))
    answer = understood(report)
    if kept is not None and (answer.fits or "needed" in answer.report):
        kept.parent.mkdir(parents=True, exist_ok=True)
        filesystem.write_atomic(kept, json.dumps(report).encode())
    return answer


def _report(asked: dict[str, Any], limit: float, folder: pathlib.Path) -> dict[str, Any]:
    """Run the worker until it exits, has written all that is needed, or reaches the time limit."""
    answer, notes = folder / "answer.json", folder / "notes.txt"
    with answer.open("w", encoding="utf-8") as out, notes.open("w", encoding="utf-8") as err:
        command = [sys.executable, "-m", "prismlab.experiments.plan.compile_worker"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=err, text=True, encoding="utf-8"
        )
        assert process.stdin is not None
        with process:
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # its stderr has the reason
                pipe.write(json.dumps(asked))
            start = time.monotonic()
            while process.poll() is None and time.monotonic() - start < limit:
                time.sleep(0.5)
                if not asked["whole"] and _assigned(folder):
                    break
            ended = process.poll() is not None
            process.kill()
    report: dict[str, Any] = {}
    try:
        report = json.loads(answer.read_text(encoding="utf-8"))
    except ValueError:
        if ended:
            lines = notes.read_text(errors="replace", encoding="utf-8").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
            return {"error": f"the compiler exited with code {process.returncode}: {last}"}
    assigned = _assigned(folder)
    if "error" in report:
        # Out of memory is detected here or, slightly earlier, by the loop above; both report the bytes.
        return report | ({"assigned": assigned[0]} if assigned else {})
    if not ended and asked["whole"]:
        return {"stopped": limit}
    if not assigned:
        return report if "arguments" in report else {"stopped": limit}
    total, module = assigned
    found = traffic.read(module)
    return report | {
        "assigned": total,
        "memory_bytes": found.memory,
        "serial": dataclasses.asdict(serial.read(module, topology.parse(asked["topology"]).chip)),
        "collectives": found.collectives,
        "rematerialised": [
            *found.rematerialised,
            *(
                line
                for line in notes.read_text(errors="replace", encoding="utf-8").splitlines()
                if traffic.INVOLUNTARY in line
            ),
        ][:5],
    }


def _assigned(folder: pathlib.Path) -> tuple[float, str] | None:
    """Return the bytes of all buffers and the optimized module, or None until the compiler wrote both."""
    assignments = list(folder.glob("*jit_step*after_optimizations-buffer-assignment.txt"))
    # The last file written of those needed here, after the buffer assignment.
    later = list(folder.glob("*jit_step*.after_optimizations.txt"))
    if not assignments or not later:
        return None
    total = buffers.held(assignments[0].read_text(errors="replace", encoding="utf-8"))
    module = later[0].read_text(errors="replace", encoding="utf-8")
    return (total, module) if total is not None and module.rstrip().endswith("}") else None


def _address(asked: str) -> str:
    """Return the cache key of a request: a hash of its text, the source code and the compiler versions."""
    import importlib.metadata

    mark = hashlib.sha256(asked.encode())
    for package in ("jax", "libtpu"):
        mark.update(importlib.metadata.version(package).encode())
    root = pathlib.Path(__file__).parents[2]
    paths = [
        path for room in ("core", "objectives", "experiments/gin") for path in (root / room).rglob("*.*")
    ]
    for name in (
        "plan/buffers",
        "plan/compile_worker",
        "plan/choices",
        "plan/hlo",
        "plan/kernels",
        "plan/serial",
        "plan/traffic",
        "cost/abstract_step",
    ):
        paths.append(root / "experiments" / f"{name}.py")
    for path in sorted(paths):
        if path.suffix in (".py", ".gin"):
            mark.update(path.read_bytes())
    if pathlib.Path(json.loads(asked)["file"]).exists():
        mark.update(pathlib.Path(json.loads(asked)["file"]).read_bytes())
    return mark.hexdigest()[:24]


_USED = re.compile(r"[Uu]sed ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm", re.DOTALL)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def understood(report: dict[str, Any]) -> Answer:
    """Convert the output of the worker to an answer; failures become a one-line error with advice."""
    text = report.get("error", "")
    if "stopped" in report:
        problem = (
            f"the compiler was stopped after {report['stopped']:.0f} s; raise the time limit with --limit"
        )
        return Answer(False, {}, problem)
    if report.get("rematerialised"):
        return Answer(
            False,
            report,
            "involuntary full rematerialization: an array is fully replicated on every chip; shard its "
            "parameter differently (loop.Settings.rules) or reduce the model axis of loop.Settings.layout",
        )
    if not text:
        return Answer(True, report)
    used = _USED.search(text)
    if used:
        needed, there = (float(used[i]) * _UNITS[used[i + 1]] for i in (1, 3))
        return Answer(
            False,
            {"needed": needed},
            f"needs {needed / 2**30:.1f} of {there / 2**30:.1f} GiB per chip; use more chips or a "
            "smaller batch",
        )
    if "RESOURCE_EXHAUSTED" in text:
        known = {"needed": report["assigned"]} if "assigned" in report else {}
        size = f" ({report['assigned'] / 2**30:.1f} GiB needed)" if known else ""
        return Answer(
            False, known, f"does not fit the chip's memory{size}; use more chips or a smaller batch"
        )
    if "UserError" in text:
        return Answer(False, {}, text.split("UserError: ", 1)[1].splitlines()[0])
    if "lockfile" in text:
        return Answer(False, {}, "another process holds the libtpu lock; wait for it or stop it")
    first = text.splitlines()[0][:300]
    return Answer(False, {}, f"the compiler failed: {first}; try another topology, mesh or batch size")
