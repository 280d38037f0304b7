"""The rendered world as a data set: classes, several labels a clip, captions, choices, a background class."""

import dataclasses
import functools
import pathlib

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.records import record, shards
from prismlab.data.world import truth
from prismlab.experiments.tasks.interface import items

LABELS: dict[str, tuple[str, ...]] = {
    "species": truth.SPECIES,
    "colour": truth.COLOURS,
    "background": truth.BACKGROUNDS,
    "motion": truth.MOTIONS,
}


@dataclasses.dataclass(frozen=True)
class RenderedWorld:
    """Rendered clips with their ground truth as labels.

    Args:
        train: clips of the train split.
        test: clips of the test split.
        labels: which ground truth; one name gives single-label items, several give multi-label items with all
            their values as classes.
        train_clips: clips of `train` to use; None for all.
        test_clips: clips of `test` to use; None for all.
    """

    train: source.Source
    test: source.Source
    labels: tuple[str, ...] = ("motion",)
    train_clips: int | None = None
    test_clips: int | None = None

    def __post_init__(self) -> None:
        unknown = [label for label in self.labels if label not in LABELS]
        if unknown or not self.labels:
            raise errors.UserError(f"labels must be among {sorted(LABELS)}, got {list(self.labels)}")

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the items of "train" or "test"."""
        home, limit = {"train": (self.train, self.train_clips), "test": (self.test, self.test_clips)}.get(
            split, (None, None)
        )
        if home is None:
            raise errors.UserError(f"the rendered world has the splits train and test, got {split!r}")
        records = home.open(cache)
        total = len(records) if limit is None else limit
        if total > len(records):
            raise errors.UserError(
                f"rendered world: {total} clips of {split} requested, its source has {len(records)}"
            )
        classes = tuple(value for label in self.labels for value in LABELS[label])
        found = []
        for index in range(total):
            one = records[index]
            labels = tuple(sorted(classes.index(one.labels[label]) for label in self.labels))
            found.append(
                items.Item(one.key, labels=labels, texts=(one.caption,), extra={"index": index, **one.labels})
            )
        load = functools.partial(_load, records)
        name = f"world {'+'.join(self.labels)}/{split}"
        return items.ItemSet(name, tuple(found), classes, load, multi_label=len(self.labels) > 1)


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return records[item.extra["index"]]
