"""Find stages and evaluations of a store by what they are made of (`prismlab find`)."""

import dataclasses
import difflib
import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.recipe import describe
from prismlab.experiments.store import garbage, host_agreement, pins, views

_LEFT_OUT = ("code", "data", "settings")  # parts of `inputs` that are hashes


@dataclasses.dataclass(frozen=True)
class Found:
    """A stage or evaluation of a store, or a damaged one.

    Args:
        kind: "stage" or "evaluation".
        address: its address.
        name: name of the stage or task where it was computed first.
        seed: its seed; None if unknown.
        state: "done", "unfinished" or "damaged: why".
        writer: who computed it: user, host, workdir.
        used_by: work directories that use it.
        pinned: whether a pin keeps it.
        metrics: metric -> value; empty for a stage.
        fields: path -> value of its configuration, seed and parents.
        path: where it is.
    """

    kind: str
    address: str
    name: str
    seed: int | None
    state: str
    writer: Mapping[str, str]
    used_by: tuple[str, ...]
    pinned: bool
    metrics: Mapping[str, Any]
    fields: Mapping[str, Any]
    path: str

    def value(self, field: str) -> list[Any]:
        """Return the values of a field: an own one, or of the configuration by the end of its path."""
        own = {
            "kind": self.kind, "address": self.address, "name": self.name, "state": self.state,
            "user": self.writer.get("user"), "workdir": self.writer.get("workdir"), "pinned": self.pinned,
        }  # fmt: skip
        if field in own:
            return [own[field]]
        if field == "used_by":
            return list(self.used_by)
        if field in self.metrics:
            return [self.metrics[field]]
        return [each for path, each in self.fields.items() if path == field or path.endswith(f".{field}")]


def conditions(words: Sequence[str]) -> list[tuple[str, str]]:
    """Parse FIELD=VALUE conditions.

    Raises:
        UserError: a word has another form.
    """
    found = []
    for word in words:
        field, sign, value = word.partition("=")
        if not sign or not field:
            raise errors.UserError(f"{word!r}: expected FIELD=VALUE, such as steps=300 or name='stage*'")
        found.append((field, value))
    return found


def find(home: filesystem.Path, wanted: Sequence[tuple[str, str]] = ()) -> list[Found]:
    """Return what fits all conditions, stages first.

    Args:
        home: the store.
        wanted: (field, value); values may have the wildcards * and ?.

    Raises:
        UserError: nothing in the store has such a field; names the nearest ones.
    """
    found = list(_everything(home))
    for field, _ in wanted:
        if found and not any(each.value(field) for each in found):
            raise errors.UserError(
                f"no stage or evaluation of {home} has a field {field!r}{_near(field, found)}"
            )
    fits = lambda each: all(any(_equal(value, text) for value in each.value(field)) for field, text in wanted)
    return [each for each in found if fits(each)]


def plain(found: Found) -> dict[str, Any]:
    """Return what was found as JSON data."""
    return dataclasses.asdict(found)


def _everything(home: filesystem.Path) -> Iterator[Found]:
    users: dict[str, list[str]] = {}
    for view in views.registered(home):
        uses = view.all_uses
        for address in (*uses.stages, *uses.scores):
            users.setdefault(address, []).append(view.workdir or str(home))
    uses = views.union(each.uses for each in views.pinned(home).values())
    kept = {*uses.stages, *uses.scores}
    for item in garbage.items(home):
        if item.address:
            yield _found(item, tuple(users.get(item.address, ())), item.address in kept)


def _found(item: garbage.Item, used_by: tuple[str, ...], pinned: bool) -> Found:
    said: dict[str, Any] = {}
    try:
        said = pins.description(item)
        left = stage_folder.left_of(item.path) if item.kind == garbage.STAGE else None
        state = "done" if left is None else "unfinished"
    except errors.UserError as error:
        state = f"damaged: {error}"
    inputs = {name: each for name, each in said.get("inputs", {}).items() if name not in _LEFT_OUT}
    if said.get("inputs") and describe.address(said["inputs"]) != item.address:
        state = "damaged: its content has another address"
    inputs |= inputs.pop("configuration", None) or {}
    writer = said.get("writer")
    metrics = said.get("metrics")
    values = {
        name: each.get("value")
        for name, each in (metrics.items() if isinstance(metrics, dict) else ())
        if isinstance(each, dict)
    }
    seed = said.get("seed")
    return Found(
        item.kind, item.address, str(said.get("name", item.path.name)),
        seed if isinstance(seed, int) else None,
        state, writer if isinstance(writer, dict) else {}, used_by, pinned, values,
        host_agreement.leaves(inputs), str(item.path),
    )  # fmt: skip


def _equal(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return fnmatch.fnmatchcase(value, text)
    try:
        given = json.loads(text)
    except ValueError:
        given = {"True": True, "False": False, "None": None}.get(text, text)
    return given is value or (bool not in (type(given), type(value)) and given == value)


def _near(field: str, found: Sequence[Found]) -> str:
    names = {"kind", "address", "name", "state", "user", "workdir", "used_by", "pinned"}
    for each in found:
        names |= set(each.metrics) | {path.rpartition(".")[2] for path in each.fields}
    close = difflib.get_close_matches(field, sorted(names), 3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; fields are {sorted(names)[:20]}"
