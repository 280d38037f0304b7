"""Items of an evaluation: the annotated clips of one split, read at once, with their videos read on demand.

A reader (one file in `experiments/tasks/readers/`) turns the files of a data set, as users have them, into an
`ItemSet` per split. Heads and metrics see only items, never the files.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from prismlab.core import errors
from prismlab.data.records import record

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Item:
    """One annotated clip.

    Args:
        key: name of the clip, unique within its split.
        path: path of the video (or of a folder of images, one for each frame), as the reader resolved it; ""
            if the reader loads clips in another way.
        start: start of the clip within the video in seconds, or None for the beginning.
        end: end of the clip in seconds (exclusive), or None for the end of the video.
        labels: class indices, ascending without repetition; one for single-label data, any number (also none)
            for multi-label data; () without class annotations.
        texts: captions of the clip, or the options of a multiple choice in their order.
        answer: index in `texts` of the right option; None if this is no multiple choice.
        group: name of what makes items dependent (the long video that clips were cut from, for example); held
            out together when a head is selected. Default the key.
        extra: further annotations by name (question type, frame rate, ...).
    """

    key: str
    path: str = ""
    start: float | None = None
    end: float | None = None
    labels: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    answer: int | None = None
    group: str = ""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.key)


@dataclasses.dataclass(frozen=True)
class ItemSet:
    """The items of one split.

    Args:
        name: data set and split, such as "kinetics400/val".
        items: in the order of the annotation file.
        classes: names of the classes in the order of their indices; () without classes.
        multi_label: True if an item may have any number of labels.
        load: item -> record with the clip's bytes; raises UserError if the clip is missing or damaged.
        notes: facts to print beside a score, by name: rows skipped and why, absent classes, variants.
        background: index of a class that is left out of averages over classes, or None.
        label_sets: name and number of classes of each of several label sets (a verb and a noun, for example),
            which follow each other in `classes`; an item then has one label of each. () for one set.
    """

    name: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    load: Callable[[Item], record.Record]
    multi_label: bool = False
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    background: int | None = None
    label_sets: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.label_sets:
            self._check_label_sets()
        seen: set[str] = set()
        for item in self.items:
            if item.key in seen:
                raise errors.UserError(f"{self.name}: item {item.key!r} occurs twice; make its key unique")
            seen.add(item.key)
            wrong = [index for index in item.labels if not 0 <= index < len(self.classes)]
            if wrong:
                raise errors.UserError(
                    f"{self.name}: item {item.key!r} has class index {wrong[0]}, expected 0 to "
                    f"{len(self.classes) - 1}; is this the label file of another version of the data set?"
                )
            if not self.multi_label and not self.label_sets and self.classes and len(item.labels) != 1:
                raise errors.UserError(
                    f"{self.name}: item {item.key!r} has {len(item.labels)} labels, expected 1"
                )

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def set_bounds(self) -> list[tuple[str, int, int]]:
        """Return name, first class and end of each label set; of single-label data the only set is ""."""
        sets = self.label_sets or (("", len(self.classes)),)
        ends = np.cumsum([count for _, count in sets]).tolist()
        return [(name, end - count, end) for (name, count), end in zip(sets, ends)]

    def of_set(self, name: str) -> "ItemSet":
        """Return the items with the labels of one label set alone, as single-label data.

        Args:
            name: of the set; data with one set are returned as they are.
        """
        if not self.label_sets:
            return self
        start, end = next((start, end) for each, start, end in self.set_bounds() if each == name)
        own = lambda item: tuple(label - start for label in item.labels if start <= label < end)
        kept = tuple(dataclasses.replace(item, labels=own(item)) for item in self.items)
        return dataclasses.replace(self, items=kept, classes=self.classes[start:end], label_sets=())

    def set_targets(self) -> Int64[np.ndarray, "n sets"]:
        """Return the label of each item in each label set, counted within the set.

        Raises:
            UserError: items may have any number of labels.
        """
        if self.multi_label:
            raise errors.UserError(
                f"{self.name} has items with several labels or none; use a metric such as "
                "average_precision.MeanAveragePrecision"
            )
        starts = np.asarray([start for _, start, _ in self.set_bounds()], np.int64)
        rows = [item.labels for item in self.items]
        return np.asarray(rows, np.int64).reshape(len(rows), len(starts)) - starts

    def _check_label_sets(self) -> None:
        bounds = self.set_bounds()
        if self.multi_label or bounds[-1][2] != len(self.classes):
            raise errors.UserError(
                f"{self.name}: label sets {dict(self.label_sets)} need single labels and {bounds[-1][2]} "
                f"classes, got {len(self.classes)} classes"
            )
        for item in self.items:
            inside = [start <= index < end for (_, start, end), index in zip(bounds, item.labels)]
            if len(item.labels) != len(bounds) or not all(inside):
                raise errors.UserError(
                    f"{self.name}: item {item.key!r} has labels {item.labels}, expected one of each set "
                    f"{[name for name, _ in self.label_sets]}"
                )

    def index_targets(self) -> Int64[np.ndarray, " n"]:
        """Return the class index of each item of single-label data.

        Raises:
            UserError: items have several labels.
        """
        if self.label_sets:
            raise errors.UserError(
                f"{self.name} has the label sets {[name for name, _ in self.label_sets]}; name one of them "
                "in the metric's label_set"
            )
        return self.set_targets()[:, 0]

    def multi_hot(self) -> Float32[np.ndarray, "n c"]:
        """Return 1 for each label of an item and 0 elsewhere."""
        targets = np.zeros((len(self.items), len(self.classes)), np.float32)
        for row, item in enumerate(self.items):
            targets[row, list(item.labels)] = 1.0
        return targets

    def subset(self, indices: Sequence[int]) -> "ItemSet":
        """Return the items at these indices, in this order."""
        return dataclasses.replace(self, items=tuple(self.items[index] for index in indices))

    def absent_classes(self) -> list[str]:
        """Return the names of the classes that no item has."""
        present = {index for item in self.items for index in item.labels}
        return [name for index, name in enumerate(self.classes) if index not in present]

    def class_notes(self) -> dict[str, str]:
        """Return a note on the classes that no item has; it says so if all items are of one class."""
        absent = self.absent_classes()
        if not absent:
            return {}
        more = ", ..." if len(absent) > 5 else ""
        alone = (
            "; only one class occurs: a score says nothing" if len(absent) == len(self.classes) - 1 else ""
        )
        return {"classes that never occur": f"{len(absent)}: {', '.join(absent[:5])}{more}{alone}"}


@runtime_checkable
class Reader(Protocol):
    """Interface of a data set reader; implementations are frozen dataclasses whose fields are paths."""

    def read(self, split: str, cache: pathlib.Path) -> ItemSet:
        """Return the items of a split.

        Args:
            split: "train", "val" or "test"; a reader says which it has.
            cache: directory shared by runs, for readers that write files first.

        Raises:
            UserError: a file is missing, or is not the annotation file that the reader expects.
        """
        ...
