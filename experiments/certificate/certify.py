"""Write the certificate of a trained stage, of the scores of an evaluation, and of a table."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prismlab.core.io import filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.certificate import (
    attempts,
    contents,
    environment,
    shareable,
    statement,
    step_digests,
)
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe

RECIPE = "config.gin"  # the flat recipe in a stage's folder, with the paths that the certificate leaves out
SUFFIX = ".certificate"  # of the file beside scores/<address>.json
_MOST_PARENTS = 20_000
_CHUNK = 1 << 20


def digest_of(path: filesystem.Path) -> str:
    """Return the sha256 of a file, read in parts."""
    total = hashlib.sha256()
    with filesystem.open_binary(path) as file:
        while part := file.read(_CHUNK):
            total.update(part)
    return total.hexdigest()


def beside(score: filesystem.Path) -> filesystem.Path:
    """Return the file of the certificate of `scores/<address>.json`."""
    return score.with_suffix(SUFFIX)


def bindings(loaded: strict.Loaded | None) -> tuple[contents.Binding, ...]:
    """Return the bindings and defaults of a recipe in shareable form.

    Args:
        loaded: the recipe; None has none.
    """
    if loaded is None:
        return ()
    return tuple(
        contents.Binding(each.name, shareable.text(each.value), _origin(each.place))
        for each in loaded.bindings
    )


def _origin(where: str) -> str:
    return shareable.place(where) if where else "default"


def write_recipe(folder: filesystem.Path, loaded: strict.Loaded | None) -> None:
    """Write the flat recipe of a stage into its folder, in process 0 only.

    Args:
        folder: the stage's folder.
        loaded: the recipe of the run, or None.
    """
    if loaded is not None and distributed.is_main():
        filesystem.write_atomic(folder / RECIPE, loaded.text.encode())


def stage(
    folder: filesystem.Path,
    configured: recipe.Stage,
    facts: Mapping[str, Any],
    finished: stage_folder.Finished,
    loaded: strict.Loaded | None,
    step_flops: float | None,
) -> None:
    """Write the certificate of a stage at its end, in process 0 only.

    Args:
        folder: the stage's folder, with its event log.
        configured: the configuration.
        facts: content of stage.json.
        finished: last step and digest of the parameters.
        loaded: the recipe of the run; None if it was not started from gin.
        step_flops: model FLOPs of a step, or None.
    """
    if not distributed.is_main():
        return
    every = configured.run.log_every
    steps, every = contents.thinned(step_digests.read(folder / "events.jsonl"), every)
    tried = attempts.read(folder)
    flops = None if step_flops is None else step_flops * configured.steps
    subjects = {f"checkpoints/{finished.step}/learner": finished.digest}
    files = ("events.jsonl", RECIPE)  # stage.json has notes of later runs (`--accept-code`)
    subjects |= {name: digest_of(folder / name) for name in files if (folder / name).is_file()}
    inputs = facts["inputs"]
    found = contents.Certificate(
        "stage", facts["name"], subjects, facts["address"], inputs,
        environment.of_process(facts["versions"], facts["mesh"]), environment.source(),
        _sha256(loaded), bindings(loaded), parents_of(inputs), steps, every, tried,
        contents.Cost(
            configured.steps * configured.batch_size, step_flops, flops,
            sum(each.device_seconds for each in tried), wasted(tried),
        ),
        {"seed": facts["seed"], "parameters": facts["parameters"], "clips": dict(facts["clips"])},
    )  # fmt: skip
    statement.write(found, folder / statement.NAME)


def score(
    path: filesystem.Path, written: Mapping[str, Any], address: str, attempt: contents.Attempt,
    loaded: strict.Loaded | None = None,
) -> None:  # fmt: skip
    """Write the certificate of the scores of one evaluation, in process 0 only.

    Args:
        path: the file `scores/<address>.json`, already written.
        written: its content.
        address: of the scores.
        attempt: how long they took.
        loaded: the recipe of the run, or None.
    """
    if not distributed.is_main():
        return
    inputs = written["inputs"]
    protocols = {f"protocol of {name}": dict(each["protocol"]) for name, each in written["metrics"].items()}
    found = contents.Certificate(
        "score", written["name"], {path.name: digest_of(path)}, address, inputs,
        environment.of_process(written["versions"]), environment.source(), _sha256(loaded),
        parents=parents_of(inputs) | ({"encoder": inputs["encoder"]} if "encoder" in inputs else {}),
        attempts=(attempt,), cost=contents.Cost(device_seconds=attempt.device_seconds),
        notes={"seed": written["seed"], "stage": written["stage"], **protocols},
    )  # fmt: skip
    statement.write(found, beside(path))


def table(
    out: filesystem.Path, title: str, config: Any, versions: Mapping[str, str],
    parts: Iterable[filesystem.Path], notes: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write the certificate of a table, in process 0 only.

    Args:
        out: folder of table.json.
        title: name of the experiment or ablation.
        config: the described experiment or ablation.
        versions: package -> version of this process, which computed the statistics.
        parts: certificates of the stages and scores of the table; missing ones are left out.
        notes: further facts, such as the code that was accepted.
    """
    if not distributed.is_main():
        return
    names = ("table.json", "report.md", "report.html")
    subjects = {name: digest_of(out / name) for name in names if (out / name).is_file()}
    parents = {}
    for path in list(parts)[:_MOST_PARENTS]:
        if path.is_file():
            parents[f"{path.parent.name}/{path.name}"] = digest_of(path)
    found = contents.Certificate(
        "table", title, subjects, "", {"configuration": describe.addressed(config)},
        environment.of_process(versions), environment.source(), parents=parents, notes=notes or {},
    )  # fmt: skip
    statement.write(found, out / statement.NAME)


def parents_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> address (of a stage), digest (of a folder's weights) or hash (of released weights)."""
    given = inputs.get("parents") or {}
    return {
        str(name): each if isinstance(each, str) else describe.address(each)
        for name, each in given.items()
        if each is not None
    }


def wasted(tried: Sequence[contents.Attempt]) -> float:
    """Return the device-seconds of steps that a later attempt repeated, and of attempts without steps.

    Args:
        tried: attempts at one stage, oldest first.
    """
    total = 0.0
    for each, after in itertools.pairwise(tried):
        steps = each.end - each.start
        lost = 1.0 if steps <= 0 else min(1.0, max(0, each.end - after.start) / steps)
        total += lost * each.device_seconds
    if tried and tried[-1].outcome != "done":
        total += tried[-1].device_seconds
    return total


def _sha256(loaded: strict.Loaded | None) -> str:
    return hashlib.sha256(loaded.text.encode()).hexdigest() if loaded is not None else ""
