"""Collect the rows of a table of boxes into keyframes: a row is one action of a box, whose rows repeat it."""

import re
from collections.abc import Mapping, Sequence

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes
from prismlab.experiments.tasks.readers import annotation_files, item_sets

Key = tuple[str, float]  # video and time, or number of the frame


class Keyframes:
    """Keyframes with their boxes.

    Args:
        found: counts what is left out.
        index: id of an action in the file -> class index.
        last: largest id that the file may have; others up to it are actions that are not evaluated.
    """

    def __init__(self, found: item_sets.Collector, index: Mapping[int, int], last: int):
        self.found, self.index, self.last = found, index, last
        self._boxes: dict[Key, dict[tuple[boxes.SHARES, str], set[int]]] = {}
        self.unevaluated = 0

    def empty(self, key: Key) -> None:
        """Add a keyframe, which may have no box."""
        self._boxes.setdefault(key, {})

    def add(
        self, key: Key, shares: Sequence[str | float], action: str | int, person: str, where: str
    ) -> None:
        """Add a row; one that is wrong is counted, and its keyframe stays.

        Args:
            key: the keyframe.
            shares: x1, y1, x2, y2 as shares of the frame.
            action: id of the action in the file.
            person: name of who is in the box; boxes of two persons are two, even if they are equal.
            where: where the row is.
        """
        self.empty(key)
        numbers = tuple(_number(each) for each in shares)
        wrong = boxes.fault(numbers)
        label = annotation_files.whole(action)
        if wrong:
            self.found.skip(wrong, where)
            return
        if label is None or not 1 <= label <= self.last:
            self.found.skip("id that is no action", f"{where}: {str(action)[:20]!r}")
            return
        own = self._boxes[key].setdefault((boxes.clipped(numbers), person), set())
        if label in self.index:
            own.add(self.index[label])
        else:
            self.unevaluated += 1

    def drop(self, keys: set[Key]) -> int:
        """Leave out keyframes, and return how many there were."""
        here = keys & self._boxes.keys()
        for key in here:
            del self._boxes[key]
        return len(here)

    def each(self) -> list[tuple[Key, tuple[boxes.Box, ...]]]:
        """Return the keyframes in the order of the file."""
        return [
            (key, tuple(boxes.Box(shares, tuple(sorted(labels))) for (shares, _), labels in own.items()))
            for key, own in self._boxes.items()
        ]


def _number(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def evaluated(path: str, count: int) -> dict[int, str]:
    """Return id -> name of the evaluated actions of a label map (.pbtxt); ids may have gaps.

    Args:
        path: the file, with `name: "..."` and `id: N` (or `label_id: N`) in each entry.
        count: number of classes that is expected.

    Raises:
        UserError: the file is no label map, or has another number of classes.
    """
    found: dict[int, str] = {}
    name = ""
    for where, line in annotation_files.lines(path):
        if match := re.match(r'name:\s*"([^"]*)"', line):
            name = match[1]
        elif match := re.match(r"(?:label_)?id:\s*(\d{1,6})$", line):
            if not name or int(match[1]) in found:
                raise errors.UserError(
                    f"{path}, {where}: expected a name and an id of its own for each action"
                )
            found[int(match[1])], name = name, ""
    if len(found) != count:
        raise errors.UserError(
            f"{path}: expected a label map of the {count} evaluated actions, found {len(found)}; give "
            "ava_action_list_v2.2_for_activitynet_2019.pbtxt, or set the reader's classes"
        )
    return found
