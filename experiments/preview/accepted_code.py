"""`--accept-code STAGE`: reuse a finished stage of other code, because the user says that it does not matter.

The stage keeps the address under which it was trained, so that what was trained after it is found again too.
That it was accepted is written into its `stage.json` and into `results.json`, and shown below the table.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.parallel import distributed
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.gin_strict import sub_rooms
from prismlab.experiments.preview import explain
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import store, work_directory

FIELD = "accepted_code"  # of stage.json and results.json: files whose change was accepted


class Accepted:
    """Finds the finished stages that stand for stages of other code; see `fingerprints.Fingerprints`.

    Args:
        names: names of the stages whose code is accepted.
        kept: the store.
    """

    def __init__(self, names: Iterable[str], kept: store.Store):
        self.names, self.kept = frozenset(names), kept
        self._finished: list[tuple[str, Mapping[str, Any]]] | None = None
        self._nearest: dict[str, tuple[int, str]] = {}  # stage -> the least that differs, and what
        self._found: set[str] = set()

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]] | None:
        """Return the inputs of the finished stage that differs from `inputs` in the least code only.

        Args:
            name: name of the stage in the recipe.
            inputs: see `stages.Planned`.

        Returns:
            Its inputs and the modules that differ; None if the stage itself is finished, or there is none.
        """
        if name not in self.names:
            return None
        told: Any = distributed.decide(lambda: self._nearest_to(name, inputs))
        return told and (told[0], told[1])

    def check(self, lines: Sequence[stages.Line]) -> None:
        """Check that each name accepted something.

        Args:
            lines: rows and seeds, resolved with this object.

        Raises:
            UserError: a name is no stage of the rows, or nothing differs from it in code only.
        """
        known = list(dict.fromkeys(each.stage.name for line in lines for each in line.stages))
        for name in sorted(self.names):
            if name not in known:
                raise errors.UserError(f"--accept-code {name}: expected one of the stages {', '.join(known)}")
            if name not in self._found:
                _, what = self._nearest.get(name, (0, "there is no finished stage yet"))
                raise errors.UserError(
                    f"--accept-code {name}: no finished stage in {self.kept.home} differs from it in code "
                    f"only ({what}); drop the option to train it"
                )

    def _nearest_to(self, name: str, inputs: Mapping[str, Any]) -> list[Any] | None:
        own = describe.address(inputs)
        best: tuple[int, Mapping[str, Any], list[str]] | None = None
        for address, earlier in self._all():
            if address == own:  # trained with this code: nothing to accept
                self._found.add(name)
                return None
            then = sub_rooms.renamed(earlier)
            rest = [key for key in {*inputs, *then} - {"code"} if inputs.get(key) != then.get(key)]
            if rest:
                lines = explain.reasons(then, inputs, name)
                lines = [line for line in lines if not line.endswith(".py changed")] or sorted(rest)
                if len(lines) < self._nearest.get(name, (len(lines) + 1, ""))[0]:
                    self._nearest[name] = len(lines), "the nearest: " + ", ".join(lines[: explain.MOST])
                continue
            before, now = then["code"], inputs["code"]
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            if best is None or len(changed) < best[0]:
                best = len(changed), earlier, changed
        if best is None:
            return None
        self._found.add(name)
        return [dict(best[1]), best[2]]

    def _all(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return address and inputs of all finished stages."""
        if self._finished is None:
            self._finished = []
            for path in sorted(self.kept.home.glob("stages/*/stage.json")):
                inputs = (stage_folder.json_if_sound(path) or {}).get("inputs") or {}
                address = describe.address(inputs)
                # A folder of an earlier version, or one that was edited, does not say what it was made of.
                if path.parent.name.endswith(f"-{address}") and stage_folder.left_of(path.parent) is None:
                    self._finished.append((address, inputs))
        return self._finished


def files(planned: Sequence[stages.Planned]) -> dict[str, list[str]]:
    """Return stage -> files whose change was accepted, for the stages of a row that have such files."""
    return {each.stage.name: list(map(explain.file_of, each.accepted)) for each in planned if each.accepted}


def note(planned: Sequence[stages.Planned], kept: store.Store) -> None:
    """Write into the records of finished stages which changes of their code were accepted, if any were.

    Args:
        planned: finished stages.
        kept: the store.
    """
    for each in planned:
        if each.accepted:
            path = kept.stage_folder(each.address, each.folder) / "stage.json"
            facts = work_directory.read_json(path)
            noted = sorted({*facts.get(FIELD, []), *map(explain.file_of, each.accepted)})
            if noted != facts.get(FIELD):
                work_directory.record(path, {**facts, FIELD: noted})
