"""Say before a run which stages and evaluations run, which are reused, and what differs from earlier ones."""

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prismlab.core.io import file_errors, filesystem
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.experiments.gin_strict import sub_rooms
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import store

_FIRST = "new for this stage"
MOST = 3  # reasons of one line


def text(lines: Sequence[stages.Line], kept: store.Store, unstated: Iterable[str] = ()) -> list[str]:
    """Return what will run and why, as short lines; seeds and rows that run alike share one.

    Args:
        lines: rows and seeds of the run.
        kept: the store of the work directory.
        unstated: classes of sources that do not state their content (`Fingerprints.unstated`).

    Raises:
        UserError: the bucket request fails.
    """
    with file_errors.translate_errors(kept.home):
        found = _text(lines, kept)
    return found + [
        f"{name} has no content_digest: a change of its files is not noticed (see data/loader/source.py)"
        for name in sorted(unstated)
    ]


def _text(lines: Sequence[stages.Line], kept: store.Store) -> list[str]:
    planned: dict[str, stages.Planned] = {}
    for line in lines:
        for each in line.stages:
            planned.setdefault(each.address, each)
    rows = {key: _rows(lines, lambda line: [each.address for each in line.stages], key) for key in planned}
    folders = {key: kept.stage_folder(key, each.folder) for key, each in planned.items()}
    left = {key: stage_folder.left_of(folders[key]) for key in planned}
    run = {key for key in planned if left[key] is not None}
    earlier = _Earlier(kept.home)
    told: dict[tuple[str, tuple[str, ...], str], list[int]] = {}
    for key, each in planned.items():
        why = _reused(each) if key not in run else _why(each, folders[key], left[key] or "", earlier, run)
        told.setdefault((each.stage.name, rows[key], why), []).append(each.seed)
    found = _grouped(told)
    scores = {judged.address: (judged, line) for line in lines for judged in line.evaluations}
    todo = {key for key in scores if not kept.score_path(key).exists()}
    told = {}
    for address in scores:
        judged, line = scores[address]
        if address in todo and line.stages[-1].address not in run:
            labels = _rows(lines, lambda row: [one.address for one in row.evaluations], address)
            why = _differs(judged.inputs, earlier.scores(judged.name), judged.name, lambda value: _FIRST)
            why = f"runs; {why}"
            told.setdefault((judged.name, labels, why), []).append(line.seed)
    found += _grouped(told)
    found += [
        f"{len(run)} of {len(planned)} stages and {len(todo)} of {len(scores)} evaluations run; the rest is "
        "reused"
        if run or todo
        else f"all {len(planned)} stages and {len(scores)} evaluations are reused"
    ]
    return found


def is_finished(lines: Sequence[stages.Line], kept: store.Store) -> bool:
    """Return whether nothing of a run is left to train or to evaluate.

    Args:
        lines: rows and seeds of the run.
        kept: the store of the work directory.

    Raises:
        UserError: the bucket request fails.
    """
    with file_errors.translate_errors(kept.home):
        planned = {each.address: each for line in lines for each in line.stages}
        judged = dict.fromkeys(each.address for line in lines for each in line.evaluations)
        folders = (kept.stage_folder(key, each.folder) for key, each in planned.items())
        return all(stage_folder.left_of(each) is None for each in folders) and all(
            kept.score_path(each).exists() for each in judged
        )


def _reused(planned: stages.Planned) -> str:
    files = [f"{file_of(module)} changed" for module in planned.accepted]
    return f"reused; accepted: {_listed(files)}" if files else "reused"


def _listed(reasons: Sequence[str]) -> str:
    return ", ".join(reasons[:MOST]) + (f" and {len(reasons) - MOST} more" if len(reasons) > MOST else "")


class _Earlier:
    """Inputs of the stages and evaluations in a store, read when asked for."""

    def __init__(self, home: filesystem.Path):
        self.home = home
        self._stages: dict[str, list[Mapping[str, Any]]] = {}
        self._scores: dict[str, list[Mapping[str, Any]]] | None = None

    def stages(self, name: str) -> list[Mapping[str, Any]]:
        """Return the inputs of the stages of a name; {} for those of versions that did not record them."""
        if name not in self._stages:
            files = self.home.glob(f"stages/{name}-s*-*/stage.json")
            self._stages[name] = [
                (stage_folder.json_if_sound(path) or {}).get("inputs", {}) for path in files
            ]
        return self._stages[name]

    def scores(self, name: str) -> list[Mapping[str, Any]]:
        """Return the inputs of the evaluations of a name."""
        if self._scores is None:
            self._scores = collections.defaultdict(list)
            for path in self.home.glob("scores/*.json"):
                read = stage_folder.json_if_sound(path) or {}
                self._scores[read.get("name", "")].append(read.get("inputs", {}))
        return self._scores.get(name, [])


def _why(
    planned: stages.Planned, folder: filesystem.Path, left: str, earlier: _Earlier, run: set[str]
) -> str:
    if left:
        return f"runs; {left}"
    at = checkpoint.newest(folder / "checkpoints")
    if at is not None:
        return f"resumes at step {at} of {planned.stage.steps}"
    names = {each.address: each.stage.name for each in planned.parents if each.address in run}

    def parent(address: Any) -> str:
        return f"follows {names[address]}" if address in names else ""

    return f"runs; {_differs(planned.inputs, earlier.stages(planned.stage.name), planned.stage.name, parent)}"


def _differs(inputs: Mapping[str, Any], before: list[Mapping[str, Any]], name: str, parent: Any) -> str:
    """Return how inputs differ from the nearest earlier ones of that name."""
    known = [each for each in before if each]
    if not known:
        return "written by a version that did not record its inputs" if before else "new"
    return _listed(min((reasons(each, inputs, name, parent) for each in known), key=len))


def reasons(
    a: Mapping[str, Any], b: Mapping[str, Any], name: str, parent: Callable[[Any], str] = lambda value: ""
) -> list[str]:
    """Return how inputs differ from earlier ones, one short text for each difference.

    Args:
        a: the earlier inputs.
        b: the inputs.
        name: of the stage or evaluation.
        parent: address of a parent -> why it is another one; "" if that is not known.
    """
    a = sub_rooms.renamed(a)
    # Earlier versions recorded the stage's name there.
    before = {key: value for key, value in a.get("configuration", {}).items() if key != "name"}
    found = [f"{name}.{line}" for line in describe.difference(before, b["configuration"])]
    found += [f"{file_of(key)} changed" for key in _changed(a, b, "code")]
    found += [f"content of {key} changed" for key in _changed(a, b, "data")]
    found += [f"{key}: {a['settings'][key]} -> {b['settings'][key]}" for key in _changed(a, b, "settings")]
    if a.get("seed") != b.get("seed"):
        found.append("new seed")
    given, now = a.get("parents", {}), b["parents"]
    changed = {key: now.get(key) for key in {**now, **given} if given.get(key) != now.get(key)}
    follows = [parent(value) or f"other {key}" for key, value in changed.items()]
    # What runs because of something else follows its parents anyway.
    if not found or any(each.startswith("other ") for each in follows):
        found += dict.fromkeys(follows)
    return found or ["it imports other modules"]


def _changed(a: Mapping[str, Any], b: Mapping[str, Any], part: str) -> list[str]:
    """Return what both have and differs; what only one has follows from the configuration."""
    one, two = a.get(part, {}), b[part]
    return [key for key in sorted(two) if key in one and one[key] != two[key]]


def file_of(module: str) -> str:
    """Return a module as a short path: "objectives/masked.py"."""
    return module.removeprefix("prismlab.").replace(".", "/") + ".py"


def _rows(lines: Sequence[stages.Line], of: Any, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.label for line in lines if key in of(line)))


def _grouped(told: Mapping[tuple[str, tuple[str, ...], str], list[int]]) -> list[str]:
    """Return one line for equal name, reason and seeds; rows are named where a name has several."""
    several = collections.Counter(name for name, _ in dict.fromkeys((name, rows) for name, rows, _ in told))
    merged: dict[tuple[str, str, tuple[int, ...]], dict[str, None]] = {}
    for (name, rows, why), seeds in told.items():
        merged.setdefault((name, why, tuple(dict.fromkeys(seeds))), {}).update(dict.fromkeys(rows))
    found = []
    for (name, why, alike), labels in merged.items():
        shown = ", ".join(map(repr, list(labels)[:MOST]))
        shown += f" and {len(labels) - MOST} more" if len(labels) > MOST else ""
        of = f" of {shown}" if several[name] > 1 else ""
        found.append(f"{name}{of} ({_seeds(alike)}): {why}")
    return found


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
