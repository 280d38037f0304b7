"""What the certificates of a work directory's stages say, for its page."""

import dataclasses
from collections.abc import Sequence

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.certificate import checklist, contents, statement
from prismlab.experiments.statistics import results_table


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Certificates of stages.

    Args:
        of: folder of the stage -> certificate; stages of earlier versions have none.
        damaged: one line for each that cannot be read.
    """

    of: dict[str, contents.Certificate]
    damaged: tuple[str, ...]

    @property
    def hours(self) -> dict[str, float]:
        """Folder -> device-hours, failed attempts included."""
        return {folder: each.cost.device_seconds / 3600 for folder, each in self.of.items()}

    @property
    def flops(self) -> dict[str, float]:
        """Folder -> model FLOPs, 0 of an untrained stage; without those that were not counted."""
        known = {folder: 0.0 if each.cost.clips == 0 else each.cost.flops for folder, each in self.of.items()}
        return {folder: flops for folder, flops in known.items() if flops is not None}

    def restarts(self, folder: str) -> str:
        """Return how often a stage was restarted and why, or ""."""
        found = self.of.get(folder)
        ended = [each.outcome for each in found.attempts[:-1]] if found is not None else []
        return f"{len(ended)} restart{'s' * (len(ended) != 1)} ({', '.join(ended)})" if ended else ""

    def origin(self, name: str) -> str | None:
        """Return file and line of a binding, if all stages were started from one recipe that has it."""
        found = {
            binding.origin for each in self.of.values() for binding in each.bindings if binding.name == name
        }
        return found.pop() if len(found) == 1 else None

    def told(self, table: results_table.Table) -> tuple[tuple[str, str], ...]:
        """Return (heading, text) of what a page says of the certificates.

        Args:
            table: the table of the stages.
        """
        parts = []
        if self.of:
            parts.append(("For a paper's checklist", checklist.text(list(self.of.values()), table)))
            parts.append(("Certificates of stages", "\n".join(map(_line, self.of, self.of.values()))))
        if self.damaged:
            parts.append(("Certificates that cannot be read", "\n".join(self.damaged)))
        return tuple(parts)


def _line(folder: str, each: contents.Certificate) -> str:
    commit = (each.source.commit or "no commit")[:12] + (" with changes" if each.source.changes else "")
    digest = next((value for name, value in each.subjects.items() if name.endswith("/learner")), "")
    return f"{folder}/{statement.NAME}: learner {digest[:16]}, {commit}, {each.environment.device}"


def read(home: filesystem.Path, folders: Sequence[str]) -> Certificates:
    """Read the certificates of stages.

    Args:
        home: the store.
        folders: of the stages, in `stages/`.
    """
    found, damaged = {}, []
    for folder in folders:
        path = home / "stages" / folder / statement.NAME
        if path.is_file():
            try:
                found[folder] = statement.read(path)
            except errors.UserError as error:
                damaged.append(str(error))
    return Certificates(found, tuple(damaged))
