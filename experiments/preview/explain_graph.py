"""The graph of a run before it runs (`ablate --explain`): stages and evaluations with their parents."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismlab.core.io import file_errors, filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.cost import step_flops
from prismlab.experiments.preview import explain_cost
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import store


@dataclasses.dataclass(frozen=True)
class Node:
    """A stage or an evaluation of a run.

    Args:
        name: a stage's folder, or "<task>-<address>".
        address: its address.
        needs: names of the nodes that must be done first.
        runs: whether it runs; else it is reused.
        writer: "USER in WORKDIR" that computed it, for one that is reused from another work directory.
        what: the planned stage or evaluation.
    """

    name: str
    address: str
    needs: tuple[str, ...]
    runs: bool
    writer: str
    what: stages.Planned | stages.Evaluation


def graph(lines: Sequence[stages.Line], kept: store.Store) -> list[Node]:
    """Return each distinct stage and evaluation of a run once, after those that it needs.

    Args:
        lines: rows and seeds of the run.
        kept: the store of the work directory.

    Raises:
        UserError: the bucket request fails.
    """
    with file_errors.translate_errors(kept.home):
        found: dict[str, Node] = {}
        for line in lines:
            for each in line.stages:
                if each.address not in found:
                    found[each.address] = _stage(each, kept, found)
            for judged in line.evaluations:
                if judged.address not in found:
                    found[judged.address] = _evaluation(judged, kept, found[line.stages[-1].address].name)
        return list(found.values())


def _stage(planned: stages.Planned, kept: store.Store, before: Mapping[str, Node]) -> Node:
    folder = kept.stage_folder(planned.address, planned.folder)
    runs = stage_folder.left_of(folder) is not None
    needs = tuple(before[each.address].name for each in planned.parents)
    writer = "" if runs else _writer(folder / "stage.json", kept)
    return Node(folder.name, planned.address, needs, runs, writer, planned)


def _evaluation(judged: stages.Evaluation, kept: store.Store, stage: str) -> Node:
    path = kept.score_path(judged.address)
    runs = not path.exists()
    writer = "" if runs else _writer(path, kept)
    return Node(judged.label, judged.address, (stage,), runs, writer, judged)


def _writer(path: filesystem.Path, kept: store.Store) -> str:
    if not kept.is_shared:
        return ""
    read = stage_folder.json_if_sound(path)
    said = read.get("writer") if isinstance(read, dict) else None
    if not isinstance(said, dict) or said.get("workdir") == str(filesystem.absolute(kept.workdir)):
        return ""
    return f"{said.get('user')} in {said.get('workdir')}"


def text(
    lines: Sequence[stages.Line],
    kept: store.Store,
    count: Callable[[stages.Planned], float] = step_flops.estimated,
) -> list[str]:
    """Return the graph as one line for each node, and the cost of what runs; no device is touched.

    Args:
        lines: rows and seeds of the run.
        kept: the store of the work directory.
        count: see `explain_cost.of_stages`.
    """
    nodes = graph(lines, kept)
    todo: list[Any] = [each.what for each in nodes if each.runs]
    trained = [each for each in todo if isinstance(each, stages.Planned)]
    judged = [each for each in todo if isinstance(each, stages.Evaluation)]
    costs = explain_cost.of_stages(trained, kept, count) | explain_cost.of_evaluations(judged, kept)
    found = []
    for each in nodes:
        state = "runs" if each.runs else f"reused from {each.writer}" if each.writer else "reused"
        price = f": {_price(costs[each.address])}" if each.runs and _price(costs[each.address]) else ""
        after = f"  after {', '.join(each.needs)}" if each.needs else ""
        found.append(f"{state:6} {each.name}{after}{price}")
    return found + _totals(costs.values(), len(trained), len(judged))


def _price(cost: explain_cost.Cost) -> str:
    parts = [] if cost.flops is None else [f"{cost.flops:.2g} FLOPs"]
    if cost.device_hours is not None:
        bound = "at least" if cost.source.startswith(explain_cost.PEAK) else "about"
        parts.append(f"{bound} {cost.device_hours:.2g} device-hours ({cost.source})")
    return ", ".join(parts)


def _totals(costs: Any, trained: int, judged: int) -> list[str]:
    if not trained and not judged:
        return []
    costs = list(costs)
    flops = sum(each.flops or 0.0 for each in costs)
    hours = sum(each.device_hours or 0.0 for each in costs)
    unknown = sum(each.device_hours is None for each in costs)
    bounded = any(each.source.startswith(explain_cost.PEAK) for each in costs)
    rest = f"; {unknown} evaluations were never measured" if unknown else ""
    return [
        f"cost of {trained} stages and {judged} evaluations: {flops:.2g} FLOPs, "
        f"{'at least' if bounded or unknown else 'about'} {hours:.2g} device-hours{rest}"
    ]
