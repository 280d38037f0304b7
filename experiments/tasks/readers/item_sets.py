"""Collect the items of a split, count what is left out and why, and compare with what is published."""

from collections.abc import Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import clip_files


class Collector:
    """Items of one split, and the rows that did not become items.

    Args:
        name: data set and split, such as "kinetics400/val".
    """

    def __init__(self, name: str):
        self.name = name
        self.items: list[items.Item] = []
        self._seen: set[str] = set()
        self._left_out: dict[str, list[Any]] = {}

    def skip(self, reason: str, where: str) -> None:
        """Count a row that is left out.

        Args:
            reason: the same for all rows of a kind, such as "empty caption".
            where: where the row is.
        """
        self._left_out.setdefault(reason, [0, where])[0] += 1

    def add(self, item: items.Item, where: str) -> None:
        """Add an item; a second one of the same key is left out."""
        if item.key in self._seen:
            self.skip("the clip occurs before", f"{where}: {item.key[:60]}")
            return
        self._seen.add(item.key)
        self.items.append(item)

    def left_out(self) -> str:
        """Return how many rows were left out, why, and where the first of each kind is; "" for none."""
        return "; ".join(
            f"{count} x {reason} (first: {where})" for reason, (count, where) in self._left_out.items()
        )

    def finish(
        self,
        classes: Sequence[str] = (),
        *,
        published: int | None = None,
        multi_label: bool = False,
        background: int | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> items.ItemSet:
        """Return the items.

        Args:
            classes: names of the classes in their order.
            published: items that the split has by its publication; another number is noted, since lists
                differ with the videos that are still online.
            multi_label, background: see ItemSet.
            notes: further facts to print beside a score.

        Raises:
            UserError: no item is left.
        """
        left_out = self.left_out()
        if not self.items:
            raise errors.UserError(f"{self.name}: no clip is left; {left_out or 'the file has no rows'}")
        found: dict[str, Any] = dict(notes or {})
        if left_out:
            found["rows left out"] = left_out
        if published is not None and len(self.items) != published:
            found["size"] = f"{len(self.items)} clips annotated, {published} published"
        made = items.ItemSet(
            self.name, tuple(self.items), tuple(classes), clip_files.load, multi_label, found, background
        )
        found |= made.class_notes()
        return made


def file_of(reader: Any, split: str, name: str) -> str:
    """Return the annotation file of a split, the reader's field of that name.

    Raises:
        UserError: the reader has no such field, or it is empty.
    """
    given = [each for each in items.SPLITS if getattr(reader, each, "")]
    if split not in given:
        known = ", ".join(given) or "none"
        raise errors.UserError(
            f"{name}: no annotation file for split {split!r} (given: {known}); set its path in the gin file"
        )
    path: str = getattr(reader, split)
    return path


def ordered(names: Sequence[str], expected: int, where: str, versions: Mapping[int, str]) -> tuple[str, ...]:
    """Check the number of classes and return their names.

    Args:
        names: names in the order of their indices.
        expected: their number in the version that is evaluated.
        where: the file, for the message.
        versions: number of classes -> name of the version that has so many.

    Raises:
        UserError: another number, or a name that occurs twice.
    """
    if len(names) != expected:
        other = f" (as in {versions[len(names)]})" if len(names) in versions else ""
        raise errors.UserError(
            f"{where}: expected {expected} classes, found {len(names)}{other}; give the files of the version "
            "that is evaluated, or set the reader's classes"
        )
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.UserError(f"{where}: class {twice[:60]!r} occurs twice")
    return tuple(names)


def by_index(pairs: Mapping[int, str], where: str) -> list[str]:
    """Return names in the order of their indices, which must be 0 to n - 1.

    Raises:
        UserError: an index is missing; class 3 would otherwise be read as class 2.
    """
    if sorted(pairs) != list(range(len(pairs))):
        gap = next(index for index in range(len(pairs) + 1) if index not in pairs)
        raise errors.UserError(f"{where}: expected class indices 0 to {len(pairs) - 1}, found none of {gap}")
    return [pairs[index] for index in range(len(pairs))]
