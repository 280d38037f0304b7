"""Build the `prismlab worker` command that every launcher starts."""

import dataclasses
import shlex
import sys

from prismlab.core.io import filesystem


@dataclasses.dataclass(frozen=True)
class Order:
    """Workers that a launcher should start.

    Args:
        file: the gin file.
        bindings: gin bindings of the command line.
        workdir: the shared work directory.
        jobs: number of workers.
        settings: KEY=VALUE settings of the platform.
    """

    file: str
    bindings: tuple[str, ...]
    workdir: filesystem.Path
    jobs: int
    settings: dict[str, str]

    def words(
        self, program: tuple[str, ...] = (sys.executable, "-m", "prismlab.experiments.main")
    ) -> list[str]:
        """Return the worker's command as a list of arguments.

        Args:
            program: how to call prismlab on the machine of the worker.
        """
        return [*program, "worker", self.file, *self.bindings, "--workdir", str(self.workdir)]

    def line(self, program: tuple[str, ...] = ("prismlab",)) -> str:
        """Return the worker's command as one shell-quoted line."""
        return shlex.join(self.words(program))
