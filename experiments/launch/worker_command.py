"""The command that every launcher starts: `prismlab worker` with the same file, bindings and directory."""

import dataclasses
import shlex
import sys

from prismlab.core.io import filesystem


@dataclasses.dataclass(frozen=True)
class Order:
    """What a launcher is asked to run.

    Args:
        file: the gin file.
        bindings: bindings of the command line.
        workdir: the shared work directory.
        jobs: how many workers.
        settings: KEY=VALUE settings of the platform.
    """

    file: str
    bindings: tuple[str, ...]
    workdir: filesystem.Place
    jobs: int
    settings: dict[str, str]

    def words(
        self, program: tuple[str, ...] = (sys.executable, "-m", "prismlab.experiments.main")
    ) -> list[str]:
        """Return the worker's command.

        Args:
            program: how prismlab is called on the machine that works.
        """
        return [*program, "worker", self.file, *self.bindings, "--workdir", str(self.workdir)]

    def line(self, program: tuple[str, ...] = ("prismlab",)) -> str:
        """Return the worker's command as one line for a shell."""
        return shlex.join(self.words(program))
