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
    """

    name: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    load: Callable[[Item], record.Record]
    multi_label: bool = False
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    background: int | None = None

    def __post_init__(self) -> None:
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
            if not self.multi_label and self.classes and len(item.labels) != 1:
                raise errors.UserError(
                    f"{self.name}: item {item.key!r} has {len(item.labels)} labels, expected 1"
                )

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def index_targets(self) -> Int64[np.ndarray, " n"]:
        """Return the class index of each item of single-label data."""
        return np.asarray([item.labels[0] for item in self.items], np.int64)

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
