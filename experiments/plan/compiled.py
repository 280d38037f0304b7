"""Ahead-of-time compilation in a process of its own, with a time limit; failures become one line."""

import dataclasses
import hashlib
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

from core import errors, files


@dataclasses.dataclass(frozen=True)
class Request:
    """What to compile.

    Args:
        file: the gin file.
        bindings: bindings of the command line.
        row: label of the row.
        stage: name of the stage.
        topology: such as "v5p:4x4x8".
        batch_size: global batch in clips.
        remat: policy, or None as configured.
    """

    file: str
    bindings: tuple[str, ...]
    row: str
    stage: str
    topology: str
    batch_size: int
    remat: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the compiler said.

    Args:
        fits: whether the step fits into the chip's memory.
        told: bytes and traffic, see `worker.compile_request`; only "needed" where it does not fit.
        problem: one line that says what to change; "" where all is well.
    """

    fits: bool
    told: dict[str, Any]
    problem: str = ""

    @property
    def bytes(self) -> float | None:
        """Bytes of memory that the step needs on one chip, or None if unknown."""
        if "needed" in self.told:
            return float(self.told["needed"])
        parts = ("arguments", "temporary", "output", "code")
        return float(sum(self.told[part] for part in parts)) if "arguments" in self.told else None


def check_compiler() -> None:
    """Refuse to plan for a TPU where its compiler is not installed.

    Raises:
        UserError: with the command that installs it.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise errors.UserError(
            "planning for a TPU needs its compiler, libtpu, which is not installed: "
            "pip install 'prismlab[tpu]' (a TPU itself is not needed), or plan for --topology cpu or gpu:h100"
        )


def run(request: Request, limit: float, cache: pathlib.Path | None = None) -> Answer:
    """Compile one step.

    Args:
        request: what to compile.
        limit: seconds after which the compiler is stopped.
        cache: directory that keeps answers of equal requests (and equal code), or None.

    Returns:
        The answer; nothing is raised for what the compiler refuses.
    """
    asked = json.dumps(dataclasses.asdict(request), sort_keys=True)
    kept = None if cache is None else cache / "plan" / f"{_address(asked)}.json"
    if kept is not None and kept.exists():
        return understood(json.loads(kept.read_text()))
    command = [sys.executable, "-m", "experiments.plan.worker"]
    try:
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return Answer(False, {}, f"the compiler was stopped after {limit:.0f} s; give it longer with --limit")
    try:
        told = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        told = {"error": f"the compiler ended with code {done.returncode}: {last}"}
    if "nvoluntary full remat" in done.stderr and not told.get("rematerialised"):
        told["rematerialised"] = [x for x in done.stderr.splitlines() if "nvoluntary full remat" in x][:5]
    answer = understood(told)
    if kept is not None and (answer.fits or "needed" in answer.told):
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(kept, json.dumps(told).encode())
    return answer


def _address(asked: str) -> str:
    """Return a name for a request: its text, our code and gin files, and the versions of the compiler."""
    import importlib.metadata

    mark = hashlib.sha256(asked.encode())
    for package in ("jax", "libtpu"):
        mark.update(importlib.metadata.version(package).encode())
    root = pathlib.Path(__file__).parents[2]
    for room in ("core", "objectives", "experiments/gin", "experiments/plan"):
        for path in sorted((root / room).rglob("*.*")):
            if path.suffix in (".py", ".gin"):
                mark.update(path.read_bytes())
    if pathlib.Path(json.loads(asked)["file"]).exists():
        mark.update(pathlib.Path(json.loads(asked)["file"]).read_bytes())
    return mark.hexdigest()[:24]


_USED = re.compile(r"[Uu]sed ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm", re.DOTALL)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def understood(told: dict[str, Any]) -> Answer:
    """Turn what the worker wrote into an answer, and a failure into one line that says what to change."""
    text = told.get("error", "")
    if told.get("rematerialised"):
        return Answer(
            False,
            told,
            "involuntary full rematerialization: an array is gathered whole on every chip; split its "
            "parameter otherwise (recipe.Stage.rules) or lower recipe.Stage.layout's model axis",
        )
    if not text:
        return Answer(True, told)
    used = _USED.search(text)
    if used:
        needed, there = (float(used[i]) * _UNITS[used[i + 1]] for i in (1, 3))
        return Answer(
            False,
            {"needed": needed},
            f"needs {needed / 2**30:.1f} GiB a chip of {there / 2**30:.1f} GiB; take more chips, a smaller "
            "batch, gradient accumulation, or remat='nothing_saveable'",
        )
    if "RESOURCE_EXHAUSTED" in text:
        return Answer(False, {}, "does not fit the chip's memory; take more chips or a smaller batch")
    if "UserError" in text:
        return Answer(False, {}, text.split("UserError: ", 1)[1].splitlines()[0])
    if "lockfile" in text:
        return Answer(False, {}, "another process holds libtpu; wait for it, or end it")
    first = text.splitlines()[0][:300]
    return Answer(False, {}, f"the compiler failed: {first}; try another topology, layout or batch")
