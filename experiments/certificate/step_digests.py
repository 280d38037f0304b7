"""Digests of the steps of a stage in its event log: what each logged step read, and the parameters after it.

The log has an event of kind "batch" for each step whose loss is logged, with the crc32 of the rows of the
first host, and one of kind "parameters" for each regular checkpoint.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from prismlab.core import trees
from prismlab.core.events import event_lines, event_log
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import checksums
from prismlab.experiments.certificate import contents
from prismlab.experiments.recipe import recipe

BATCH, PARAMETERS = "batch", "parameters"


def of_batch(batch: Mapping[str, np.ndarray]) -> str:
    """Return the crc32 of a host batch as 8 hex digits: names, shapes and bytes, sorted by name."""
    total = 0
    for name in sorted(batch):
        value = np.ascontiguousarray(batch[name])
        total = zlib.crc32(f"{name} {value.dtype.name} {value.shape}\n".encode(), total)
        total = zlib.crc32(value.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"


def of_learner(tree: Any) -> str:
    """Return 16 hex digits of the checksums of all parameters; collective: every process must call it."""
    return combined(checksums.of(trees.flatten(tree)))


def combined(sums: Mapping[str, int]) -> str:
    """Return 16 hex digits for path -> checksum."""
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()[:16]


def batches(
    fed: Iterator[dict[str, np.ndarray]],
    start: int,
    log: event_log.EventLog | event_log.Silent,
    *,
    every: int,
    steps: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches, and log the digest of each that belongs to a logged step.

    Args:
        fed: the batches of this host.
        start: steps done before the first of them.
        log: receives the events.
        every: steps between two logged ones; the first and the last are logged as well.
        steps: steps of the stage.
    """
    silent = isinstance(log, event_log.Silent)
    for done, batch in enumerate(fed, start + 1):
        if not silent and (done % every == 0 or done in (1, steps)):
            log.write(done, BATCH, {"digest": of_batch(batch), "rows": len(batch["weight"])})
        yield batch


class Parameters:
    """Logs the digest of all parameters after each step that has a regular checkpoint.

    Args (constructor):
        log: receives the events.
        stage: the configuration.
    """

    def __init__(self, log: event_log.EventLog | event_log.Silent, stage: recipe.Stage):
        self._log, self._every, self._steps = log, stage.run.checkpoint_every, stage.steps

    def __call__(self, done: int, tree: Any) -> None:
        """Log the digest if a step has a checkpoint; collective.

        Args:
            done: steps done.
            tree: the learner's arrays after them.
        """
        if done % self._every == 0 or done == self._steps:
            self._log.write(done, PARAMETERS, {"digest": of_learner(tree)})


def read(path: filesystem.Path, first: int = 0, last: int | None = None) -> list[contents.StepDigest]:
    """Return the digests in an event log, by step.

    Args:
        path: the log; a missing one has none.
        first: first step.
        last: last step, or None.

    Raises:
        UserError: the log is damaged.
    """
    if not path.is_file():
        return []
    found: dict[int, dict[str, Any]] = {}
    for event in event_lines.events(path):
        if event["step"] < first or (last is not None and event["step"] > last):
            continue
        kind, kept = event["kind"], found.setdefault(event["step"], {})
        if kind == BATCH:
            kept |= {"batch": _text(event.get("digest")), "rows": _number(event.get("rows"))}
        elif kind == "train":
            kept |= {name: _number(event.get(name)) for name in ("loss", "gradient_norm")}
        elif kind == PARAMETERS:
            kept |= {"parameters": _text(event.get("digest"))}
    return [contents.StepDigest(step, **found[step]) for step in sorted(found) if found[step]]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
