"""Seam between an ablation and the engine that schedules it.

An engine is a module with the functions of `Executor`. It is handed the graph of units, each with the names
of the units that it needs and the resources that it states, and starts `prismlab run-unit NAME` for each as
a process of its own, parents first. `run-unit` may be started again, or twice, at any time: it runs once.
"""

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from typing import Protocol

from prismlab.core.io import filesystem
from prismlab.experiments.launch import units

PYTHON = (sys.executable, "-m", "prismlab.experiments.main")  # how this machine calls prismlab
RETRIES = 3  # of a unit that was killed or interrupted


@dataclasses.dataclass(frozen=True)
class Order:
    """Units that an engine should run.

    Args:
        graph: units that are not done, those that they need first.
        file: the gin file.
        bindings: gin bindings of the command line.
        workdir: the shared work directory.
        jobs: number of units at a time; None is the engine's own limit.
        settings: KEY=VALUE settings of the engine.
        scheduler: address of a running scheduler, or "".
        fail_fast: whether the first unit that fails stops the others.
    """

    graph: tuple[units.Unit, ...]
    file: str
    bindings: tuple[str, ...]
    workdir: filesystem.Path
    jobs: int | None = None
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scheduler: str = ""
    fail_fast: bool = False

    def words(self, *command: str, program: tuple[str, ...] = PYTHON) -> list[str]:
        """Return a command on the ablation as a list of arguments.

        Args:
            command: the command before the gin file: "run-unit" and the name of a unit, for example.
            program: how to call prismlab on the machine that runs it.
        """
        return [*program, *command, self.file, *self.bindings, "--workdir", str(self.workdir)]

    def line(self, *command: str) -> str:
        """Return a command on the ablation as one shell-quoted line."""
        return shlex.join(self.words(*command, program=("prismlab",)))

    def parents(self, unit: units.Unit) -> list[str]:
        """Return the names of the units of the graph that a unit needs."""
        known = {each.name for each in self.graph}
        return [name for name in unit.needs if name in known]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How the units of an order ended.

    Args:
        codes: unit -> exit code of `run-unit` of each that failed.
        interrupted: whether the command was asked to stop.
    """

    codes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    interrupted: bool = False


class Executor(Protocol):
    """An engine."""

    def preview(self, order: Order) -> str:
        """Return what `run` would start; raises UserError for invalid settings before anything is written."""

    def run(self, order: Order) -> Ended | None:
        """Run the units and return how they ended, or submit them and return None."""
