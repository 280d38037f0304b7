"""The rendered world as a data set: classes, several labels a clip, captions, choices, a background class."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable

import numpy as np

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
        label_sets: with several labels, make a label set of each instead (`items.ItemSet.label_sets`).
        foreground: values of the only label that stay classes; all other clips are of a background class
            "other", which comes last. () for all values.
        rarer: each foreground class keeps this share of the clips that the one before keeps, in (0, 1]; the
            choice depends on the clips' names alone.
        train_clips: clips of `train` to use; None for all.
        test_clips: clips of `test` to use; None for all.
        options: 0 gives each clip its caption; 2 or more makes a multiple choice of it, the caption among
            this number of captions of the split.
    """

    train: source.Source
    test: source.Source
    labels: tuple[str, ...] = ("motion",)
    train_clips: int | None = None
    test_clips: int | None = None
    options: int = 0
    label_sets: bool = False
    foreground: tuple[str, ...] = ()
    rarer: float = 1.0

    def __post_init__(self) -> None:
        unknown = [label for label in self.labels if label not in LABELS]
        if unknown or not self.labels:
            raise errors.UserError(f"labels must be among {sorted(LABELS)}, got {list(self.labels)}")
        if self.options < 0 or self.options == 1:
            raise errors.UserError(f"options must be 0, or 2 or more, got {self.options}")
        if self.label_sets and len(self.labels) < 2:
            raise errors.UserError(f"label_sets needs two labels or more, got {list(self.labels)}")
        if not 0 < self.rarer <= 1 or (self.rarer < 1 and not self.foreground):
            raise errors.UserError(f"rarer must be in (0, 1] and needs foreground, got {self.rarer}")
        if self.foreground and (len(self.labels) > 1 or set(self.foreground) - set(LABELS[self.labels[0]])):
            raise errors.UserError(
                f"foreground must be among the values of one label, such as {LABELS['motion'][:3]}; got "
                f"{self.foreground} of {list(self.labels)}"
            )

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
            texts = () if one.caption is None else (one.caption,)
            found.append(
                items.Item(one.key, labels=labels, texts=texts, extra={"index": index, **one.labels})
            )
        if self.options:
            found = _asked(found, self.options)
        load = functools.partial(_load, records)
        if self.foreground:
            return self._science(found, split, load)
        name = f"world {'+'.join(self.labels)}/{split}"
        sets = tuple((label, len(LABELS[label])) for label in self.labels) if self.label_sets else ()
        several = len(self.labels) > 1 and not sets
        return items.ItemSet(name, tuple(found), classes, load, multi_label=several, label_sets=sets)

    def _science(
        self, found: list[items.Item], split: str, load: Callable[[items.Item], record.Record]
    ) -> items.ItemSet:
        """Return items with few classes of decreasing frequency, and all other clips as background."""
        classes = (*self.foreground, "other")
        kept = []
        for item in found:
            value = item.extra[self.labels[0]]
            index = classes.index(value if value in self.foreground else "other")
            drawn = int.from_bytes(hashlib.sha256(f"rarer/{item.key}".encode()).digest()[:4], "big") / 2**32
            if index == len(self.foreground) or drawn < self.rarer**index:
                kept.append(dataclasses.replace(item, labels=(index,)))
        name = f"world {self.labels[0]}, {len(self.foreground)} classes and background/{split}"
        notes = {"left out to make classes rarer": len(found) - len(kept)} if self.rarer < 1 else {}
        return items.ItemSet(name, tuple(kept), classes, load, notes=notes, background=len(self.foreground))


def _asked(found: list[items.Item], options: int) -> list[items.Item]:
    """Return items whose texts are their caption among others, drawn by the name of the clip alone."""
    captions = sorted({item.texts[0] for item in found})
    if len(captions) < options:
        raise errors.UserError(
            f"rendered world: {options} options need as many captions, the split has {len(captions)}"
        )
    asked = []
    for item in found:
        rng = np.random.default_rng(list(hashlib.sha256(f"options/{item.key}".encode()).digest()))
        others = [caption for caption in captions if caption != item.texts[0]]
        texts = [others[index] for index in rng.choice(len(others), options - 1, replace=False)]
        answer = int(rng.integers(options))
        texts.insert(answer, item.texts[0])
        asked.append(dataclasses.replace(item, texts=tuple(texts), answer=answer))
    return asked


def _load(records: shards.Records, item: items.Item) -> record.Record:
    return records[item.extra["index"]]
