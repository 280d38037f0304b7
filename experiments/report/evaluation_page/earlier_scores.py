"""History of the scores in a work directory, to compare an encoder with those evaluated earlier.

`evaluations.json` of the work directory keeps the scores of the last encoders. Two scores are compared if
task, metric, protocol and number of items are the same.
"""

import dataclasses
import json
from collections.abc import Sequence

from prismlab.core.io import checked_json, filesystem

FILE = "evaluations.json"
MOST_ENCODERS = 8  # that are kept
_MOST_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class Earlier:
    """A score.

    Args:
        task, metric, protocol: names, and the protocol in one line.
        n: items scored.
        value: the score, or NaN.
    """

    task: str
    metric: str
    protocol: str
    n: int
    value: checked_json.AnyFloat

    @property
    def of_what(self) -> tuple[str, str, str, int]:
        """What must be the same in two scores that are compared."""
        return self.task, self.metric, self.protocol, self.n


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Scores of one encoder.

    Args:
        name: for the page.
        digest: sha256 of its weights.
        scores: its scores.
    """

    name: str
    digest: str
    scores: tuple[Earlier, ...]


@dataclasses.dataclass(frozen=True)
class _History:
    encoders: tuple[Encoder, ...] = ()


def added(folder: filesystem.Path, own: Encoder) -> tuple[Encoder, ...]:
    """Add an encoder's scores to the file, and return those of the others, the oldest first.

    Args:
        folder: the work directory.
        own: the new scores; those that the same encoder has for other tasks stay.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE
    known = _History()
    if path.exists():
        known = checked_json.read(_History, path, "delete it: it only holds earlier scores", _MOST_BYTES)
    others = tuple(each for each in known.encoders if each.digest != own.digest)[-MOST_ENCODERS + 1 :]
    again = {score.of_what for score in own.scores}
    kept = [
        score
        for each in known.encoders
        if each.digest == own.digest
        for score in each.scores
        if score.of_what not in again
    ]
    whole = _History((*others, dataclasses.replace(own, scores=(*kept, *own.scores))))
    filesystem.write_atomic(path, (json.dumps(dataclasses.asdict(whole), indent=1) + "\n").encode())
    return others


def beside(score: Earlier, others: Sequence[Encoder]) -> list[tuple[str, float]]:
    """Return (encoder, score) of the others where task, metric, protocol and number of items are the same."""
    return [
        (each.name, old.value)
        for each in others
        for old in each.scores
        if old.of_what == score.of_what and 0 <= old.value <= 1
    ]
