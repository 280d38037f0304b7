"""Run the tasks of an evaluation on a frozen encoder, one at a time; finished tasks are reused."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prismlab.experiments.certificate import attempts, certify
from prismlab.experiments.encoders import frozen_encoder
from prismlab.experiments.recipe import describe, task_interface
from prismlab.experiments.recipe import progress as progress_module
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.report.evaluation_page import evaluation_report
from prismlab.experiments.statistics import results_table
from prismlab.experiments.store import installed, store, views, work_directory
from prismlab.experiments.tasks.evaluations import evaluation, paper_scores

MEAN = "standard error of the mean over groups of items"
EXACT = "exact interval of a share, where all items are right or all are wrong"


def run(
    root: evaluation.Evaluation,
    encoder: frozen_encoder.FrozenEncoder,
    kept: store.Store,
    cache: pathlib.Path,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[evaluation_report.Shown]:
    """Run every task with every seed, reusing the scores in the store.

    Args:
        root: the evaluation.
        encoder: the frozen encoder.
        kept: where the scores are.
        cache: directory shared by runs.
        progress: called as progress(units done, units, what comes next).

    Raises:
        UserError: data of a task is missing or is not what its reader expects, or the work directory was
            deleted.
    """
    prints = fingerprints.Fingerprints(cache)
    tasks = {name: task_interface.for_encoder(task, encoder.tokenizer) for name, task in root.tasks.items()}
    units = [
        (name, task, seed, _inputs(task, seed, encoder, prints))
        for name, task in tasks.items()
        for seed in root.seeds
    ]
    addresses = [describe.address(inputs) for *_, inputs in units]
    views.register(kept, views.EVALUATION, views.Uses((), tuple(addresses)))
    found: dict[tuple[str, str], list[results_table.Score]] = {}
    for done, ((name, task, seed, inputs), address) in enumerate(zip(units, addresses)):
        path = kept.score_path(address)
        if path.exists():
            progress(done, len(units), f"{name} (seed {seed}): done before, reused")
        else:
            with kept.turn(f"score-{address}"):
                if not path.exists():  # another user may have been at it
                    progress(done, len(units), f"{name} (seed {seed}){_unlike(task, encoder)}")
                    timed = attempts.Timed()
                    with progress_module.heard(functools.partial(_pass_on, progress, done, len(units), name)):
                        scores = task(encoder.towers, seed=seed, cache=cache)
                    metrics = {metric: dataclasses.asdict(score) for metric, score in scores.items()}
                    written = {
                        "name": name, "stage": encoder.name, "seed": seed, "metrics": metrics,
                        "versions": installed.versions(), "writer": views.writer(kept.workdir),
                        "inputs": inputs,
                    }  # fmt: skip
                    work_directory.save_scores(kept, address, written)
                    certify.score(path, written, address, timed.attempt())
        read = results_table.read_scores(path)
        if not read:
            progress(
                done, len(units), f"{name}: no score, the encoder lacks a tower that the task reads (text)"
            )
        for metric, score in read.items():
            found.setdefault((name, metric), []).append(score)
    views.register(kept, views.EVALUATION, views.Uses((), tuple(addresses)), exact=True)
    progress(len(units), len(units), "done")
    return [
        _line(name, metric, scores, paper_scores.place(name, root.tasks[name], metric))
        for (name, metric), scores in found.items()
    ]


def _inputs(
    task: Any, seed: int, encoder: frozen_encoder.FrozenEncoder, prints: fingerprints.Fingerprints
) -> dict[str, Any]:
    """Return all that decides the scores of a task, whose hash is their address."""
    parts = (task, *(type(tower) for tower in encoder.towers.values()))
    return {
        "configuration": describe.addressed(describe.describe(task)),
        "encoder": encoder.digest,
        "seed": seed,
        "code": prints.code(parts, fingerprints.EVALUATING),
        "data": prints.data(task),
        "settings": fingerprints.settings(),
    }


def _unlike(task: Any, encoder: frozen_encoder.FrozenEncoder) -> str:
    """Return a remark if a task shows other frames than the encoder was trained with, else ""."""
    protocol = getattr(task, "protocol", None)
    shown, trained, bindings = [], [], []
    for name, text in (("resolution", "frames of {} px"), ("frames", "{} frames of a clip")):
        given, own = getattr(protocol, name, None), getattr(encoder, name)
        if None not in (given, own) and given != own:
            shown.append(text.format(given))
            trained.append(str(own))
            bindings.append(f"{name.upper()}={own}")
    if not shown:
        return ""
    return (
        f": {' and '.join(shown)} for an encoder that was trained with {' and '.join(trained)}; add "
        f"{' '.join(bindings)} unless this is intended"
    )


def _pass_on(progress: Callable[[int, int, str], None], done: int, total: int, name: str, text: str) -> None:
    progress(done, total, f"{name}: {text}")


def _line(
    name: str, metric: str, scores: list[results_table.Score], place: paper_scores.Place
) -> evaluation_report.Shown:
    first = scores[0]
    protocol = dict(first.protocol)
    interval, method = _interval(scores)
    chance = protocol.get("chance")
    return evaluation_report.Shown(
        name, metric, float(np.mean([score.value for score in scores])), interval, first.n,
        int(protocol.get("missing", 0)), None if chance is None else float(chance), protocol, method,
        place.base, place.giant, place.group, place.otherwise,
    )  # fmt: skip


def _interval(scores: Sequence[results_table.Score]) -> tuple[float | None, str]:
    """Return the half width of the interval of the mean over seeds, and how it was computed."""
    kept = [score.outcomes for score in scores if score.outcomes]
    outcomes = [np.asarray(each["outcomes"], float) for each in kept if "outcomes" in each]
    if outcomes:
        mean = np.concatenate(outcomes).mean(0)
        half = item_interval(mean, kept[0]["groups"])
        return half, "" if half is None else EXACT if _all_alike(mean) else MEAN
    # A mean over seeds on the same items spreads at most as the seeds do on average.
    halves = [each["interval"] for each in kept if "interval" in each]
    if len(halves) < len(scores):
        return None, ""
    return float(np.mean(halves)), str(kept[0]["interval by"])


def item_interval(outcomes: np.ndarray, groups: list[str]) -> float | None:
    """Return the half width of the 95 % interval of a mean over items, for new items of the same kind.

    Args:
        outcomes: float [n], mean outcome of each item over heads.
        groups: what each item belongs to; items of one group count as one observation.

    Returns:
        1.96 standard errors of the mean, from the sums of the groups (a ratio estimator); if all items are
        right, or all wrong, which have no standard error, the distance to the other end of the exact interval
        for a share (Clopper and Pearson 1934) of as many items as there are groups. None for fewer than two
        groups.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None
    if _all_alike(outcomes):
        return float(1.0 - 0.025 ** (1.0 / len(names)))
    deviations = np.bincount(index, outcomes - outcomes.mean(), minlength=len(names))
    variance = len(names) / (len(names) - 1) * np.sum(deviations**2) / len(outcomes) ** 2
    return float(1.96 * np.sqrt(variance))


def _all_alike(outcomes: np.ndarray) -> bool:
    return bool(np.all(outcomes == outcomes[0]) and outcomes[0] in (0.0, 1.0))
