"""Boxes of a person detector at keyframes: SlowFast's table, or a plain JSON file; nothing is unpickled."""

from collections.abc import Callable, Iterator
from typing import Any

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes
from prismlab.experiments.tasks.readers import annotation_files, item_sets
from prismlab.experiments.tasks.readers.localisation import keyframes

_COLUMNS = 8  # video, second, x1, y1, x2, y2, action or nothing, score
_MOST_BYTES = 1 << 30
CONVERT = (
    "python -c \"import json, pickle, sys; d = pickle.load(open(sys.argv[1], 'rb')); "
    "json.dump({k: [[float(x) for x in r] for r in v] for k, v in d.items()}, open('proposals.json', 'w'))\""
)


def read(
    path: str, found: item_sets.Collector, wanted: Callable[[keyframes.Key], bool]
) -> dict[keyframes.Key, tuple[boxes.Detection, ...]]:
    """Return the detections of each keyframe.

    Args:
        path: SlowFast's table of predicted boxes (`vid,902,x1,y1,x2,y2,,score`), or a JSON file
            {"vid,0902": [[x1, y1, x2, y2, score], ...]}, which is what pickled proposals hold.
        found: counts what is left out.
        wanted: whether a keyframe is evaluated; detections on others are counted and ignored.

    Raises:
        UserError: the file is pickled, or is neither.
    """
    if path.endswith((".pkl", ".pickle", ".npy")):
        raise errors.UserError(
            f"{path}: reading a pickled file runs code that it may hold; convert it once, if you trust "
            f"it, and give the JSON file: {CONVERT} {path}"
        )
    rows = _json(path) if path.endswith(".json") else _table(path)
    made: dict[keyframes.Key, dict[boxes.SHARES, boxes.Detection]] = {}
    for where, key, values in rows:
        if key is None:
            found.skip("detection of no keyframe (VIDEO,SECOND is expected)", where)
            continue
        if not wanted(key):
            found.skip("detection on a frame that is not evaluated", where)
            continue
        numbers = [_float(each) for each in values]
        wrong = boxes.fault(tuple(numbers[:4]))
        if wrong or len(numbers) != 5 or not 0 <= numbers[4] <= 1:
            found.skip(f"detection: {wrong or 'score that is not between 0 and 1'}", where)
            continue
        shares = boxes.clipped(tuple(numbers[:4]))
        own = made.setdefault(key, {})
        if shares in own:
            found.skip("detection of a box that occurs before", where)
            continue
        own[shares] = boxes.Detection(shares, numbers[4])
    return {key: tuple(own.values()) for key, own in made.items()}


Row = tuple[str, keyframes.Key | None, list[Any]]


def _table(path: str) -> Iterator[Row]:
    for where, row in annotation_files.fields(path, "a table of predicted boxes"):
        if len(row) != _COLUMNS:
            raise errors.UserError(
                f"{path}, {where}: expected {_COLUMNS} columns (video, second, x1, y1, x2, y2, action or "
                f"nothing, score), found {len(row)}; give SlowFast's predicted boxes, or JSON proposals"
            )
        yield where, _key(row[0], row[1]), [*row[2:6], row[7]]


def _json(path: str) -> Iterator[Row]:
    data = annotation_files.json_of(path, dict, "proposals by keyframe", limit=_MOST_BYTES)
    for name, rows in data.items():
        video, _, second = name.rpartition(",")
        for number, row in enumerate(rows if isinstance(rows, list) else []):
            yield f"{name[:40]} box {number}", _key(video, second), row if isinstance(row, list) else []


def _key(video: str, second: str) -> keyframes.Key | None:
    time = annotation_files.number(second)
    return None if time is None or not video else (video, time)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
