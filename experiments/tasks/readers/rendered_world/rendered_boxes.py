"""Clips of several sprites of the rendered world: what each box shows and does, and a made-up detector."""

import dataclasses
import functools
import hashlib
import pathlib

import numpy as np

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.records import record, shards
from prismlab.data.world import truth
from prismlab.experiments.tasks.interface import boxes, items

_FEWEST, _MOST = 0.9, 1.0  # scores of right boxes; those of inventions are below


@dataclasses.dataclass(frozen=True)
class Jitter:
    """A detector that is made up: annotated boxes, shifted, some missed, some invented.

    Args:
        overlap: mean overlap (IoU) of a found box with the annotated one, about, in (0, 1].
        missed: share of boxes that are not found.
        invented: share of clips with a box where nothing need be.
    """

    overlap: float = 0.7
    missed: float = 0.1
    invented: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= 1 or not 0 <= self.missed <= 1 or not 0 <= self.invented <= 1:
            raise errors.UserError(
                "jitter: expected overlap in (0, 1] and missed and invented in [0, 1], got "
                f"{self.overlap}, {self.missed} and {self.invented}"
            )

    def __call__(self, key: str, annotated: tuple[boxes.Box, ...]) -> tuple[boxes.Detection, ...]:
        """Return the detections of a clip; they depend on its name and boxes alone."""
        rng = np.random.default_rng(list(hashlib.sha256(f"detector/{key}".encode()).digest()))
        found = []
        # Two shifts of a share s each leave an overlap of about (1 - s)² / (2 - (1 - s)²).
        shift = 1 - np.sqrt(2 * self.overlap / (1 + self.overlap))
        for box in annotated:
            size = np.asarray(box.shares[2:]) - box.shares[:2]
            moved = np.tile(rng.choice([-1.0, 1.0], 2) * rng.uniform(0.5, 1.5, 2) * shift * size, 2)
            shares = boxes.clipped(tuple((np.asarray(box.shares) + moved).tolist()))
            lost, score = rng.random() < self.missed, rng.uniform(_FEWEST, _MOST)
            if not lost and not boxes.fault(shares):
                found.append(boxes.Detection(shares, float(score)))
        if rng.random() < self.invented:
            x, y, w, h = rng.uniform([0, 0, 0.15, 0.15], [0.7, 0.7, 0.3, 0.3])
            found.append(boxes.Detection((x, y, x + w, y + h), float(rng.uniform(0.3, _FEWEST))))
        return tuple(found)


@dataclasses.dataclass(frozen=True)
class RenderedBoxes:
    """Rendered clips of one to three sprites; a box has the motion and the colour of its sprite.

    Args:
        train, test: clips of the splits, a `source.Rendered` of `crowd.Crowd`.
        detector: makes the detections.
        labels: what a box is labelled with, "motion", "colour" and "species".
    """

    train: source.Source
    test: source.Source
    detector: Jitter = dataclasses.field(default_factory=Jitter)
    labels: tuple[str, ...] = ("motion", "colour")

    def __post_init__(self) -> None:
        if not self.labels or set(self.labels) - set(_VALUES):
            raise errors.UserError(f"rendered boxes: labels are {list(_VALUES)}, got {list(self.labels)}")

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the keyframes of "train" or "test", the middle frame of each clip."""
        home = {"train": self.train, "test": self.test}.get(split)
        if home is None:
            raise errors.UserError(f"the rendered world has the splits train and test, got {split!r}")
        records, found = home.open(cache), []
        classes = tuple(value for label in self.labels for value in _VALUES[label])
        for index in range(len(records)):
            one = records[index]
            if not isinstance(one.labels.get("sprites"), list):
                raise errors.UserError(
                    f"rendered world: clip {one.key!r} has no sprites; set source.Rendered.world to "
                    "@crowd.Crowd()"
                )
            own = tuple(
                boxes.Box(
                    tuple(each["box"]), tuple(sorted(classes.index(each[name]) for name in self.labels))
                )
                for each in one.labels["sprites"]
            )
            extra = {"index": index, boxes.BOXES: own, boxes.DETECTIONS: self.detector(one.key, own)}
            labels = tuple(sorted({label for box in own for label in box.labels}))
            found.append(items.Item(one.key, labels=labels, extra=extra))
        load = functools.partial(_load, records)
        name = f"world of several sprites, {'+'.join(self.labels)}/{split}"
        return items.ItemSet(name, tuple(found), classes, load, multi_label=True)


_VALUES: dict[str, tuple[str, ...]] = {
    "motion": truth.MOTIONS, "colour": truth.COLOURS, "species": truth.SPECIES,
}  # fmt: skip


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return records[item.extra["index"]]
