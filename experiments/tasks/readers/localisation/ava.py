"""AVA 2.2: boxes and actions of persons at keyframes of movies, from the official CSV files."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.localisation import detections, keyframes

ACTIONS = 80  # largest id; 60 of them are evaluated, with gaps between their ids
# Keyframes, as VideoGLUE counts them.
PUBLISHED = {"train": 210_634, "val": 57_371}


@dataclasses.dataclass(frozen=True)
class Ava:
    """Clips around the annotated keyframes, one a second.

    A keyframe stays if its rows are all of actions that are not evaluated, or if it has a row of two columns
    (no box): detections on it are wrong. Excluded timestamps are dropped from annotations and detections.

    Args:
        videos: folder with the movies, ID.mp4 or .mkv.
        actions: ava_action_list_v2.2_for_activitynet_2019.pbtxt.
        train, val: ava_train_v2.2.csv, ava_val_v2.2.csv.
        excluded_train, excluded_val: ava_train_excluded_timestamps_v2.2.csv, and that of val; "" for none.
        detections: boxes of a detector on "val", see `detections.read`; "" for none.
        begins: second of the movie at which the video files begin: 0 for whole movies, 900 for the usual cut.
        seconds: length of a clip, the keyframe in its middle. The paper: 16 frames, stride 4 at 30 a second.
        classes: number of evaluated actions.
    """

    videos: str
    actions: str
    train: str = ""
    val: str = ""
    excluded_train: str = ""
    excluded_val: str = ""
    detections: str = ""
    begins: float = 0.0
    seconds: float = 64 / 30
    classes: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e4 or not 0 <= self.begins < 1e6:
            raise errors.UserError(
                f"ava: expected seconds above 0 and begins of 0 or more, got {self.seconds} and {self.begins}"
            )

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        files = (self.actions, self.train, self.val, self.excluded_train, self.excluded_val, self.detections)
        return clip_files.digest(files, self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the keyframes of "train" or "val"."""
        del cache
        name = f"ava 2.2/{split}"
        path = item_sets.file_of(self, split, name)
        names = keyframes.evaluated(self.actions, self.classes)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        frames = table(path, found, names, (7, 8))
        excluded = self.excluded_train if split == "train" else self.excluded_val
        notes: dict[str, Any] = {}
        if excluded:
            notes["excluded keyframes"] = frames.drop(_times(excluded))
        own = frames.each()
        given: dict[keyframes.Key, tuple[boxes.Detection, ...]] = {}
        if self.detections and split == "val":
            known = {key for key, _ in own}
            given = detections.read(self.detections, found, known.__contains__)
            notes["keyframes without detections"] = sum(key not in given for key in known)
        for key, annotated in own:
            middle = key[1] - self.begins
            extra = {boxes.BOXES: annotated, boxes.DETECTIONS: given.get(key, ())}
            found.add(
                clip_files.item(
                    files, f"{key[0]},{key[1]:04g}", key[0], start=max(0.0, middle - self.seconds / 2),
                    end=middle + self.seconds / 2, labels=labels_of(annotated), group=key[0], extra=extra,
                ),
                f"{key[0][:20]},{key[1]:g}",
            )  # fmt: skip
        notes |= counted(frames, own, found.items)
        return found.finish(
            tuple(names.values()), published=PUBLISHED.get(split), multi_label=True, notes=notes
        )


def table(
    path: str, found: item_sets.Collector, names: dict[int, str], columns: Sequence[int]
) -> keyframes.Keyframes:
    """Return the keyframes of an official table: `video,second,x1,y1,x2,y2,action[,person]`, or two columns.

    Args:
        path: the file.
        found: counts what is left out.
        names: id -> name of the evaluated actions.
        columns: numbers of columns that a row may have, besides two.
    """
    index = {id_: number for number, id_ in enumerate(names)}
    frames = keyframes.Keyframes(found, index, ACTIONS)
    for where, row in annotation_files.fields(path, "boxes with actions"):
        time = annotation_files.number(row[1]) if len(row) > 1 else None
        if time is None or not row[0] or len(row) not in (2, *columns):
            found.skip("row that is none (video, second, x1, y1, x2, y2, action, person)", where)
        elif len(row) == 2 or not row[2]:
            frames.empty((row[0], time))
        else:
            frames.add((row[0], time), row[2:6], row[6], row[7] if len(row) > 7 else "", where)
    return frames


def labels_of(annotated: tuple[boxes.Box, ...]) -> tuple[int, ...]:
    """Return the classes of all boxes of a keyframe."""
    return tuple(sorted({label for box in annotated for label in box.labels}))


def counted(
    frames: keyframes.Keyframes,
    own: Sequence[tuple[keyframes.Key, tuple[boxes.Box, ...]]],
    made: Sequence[items.Item],
) -> dict[str, Any]:
    """Return facts on keyframes, for notes."""
    notes: dict[str, Any] = {"annotated boxes": sum(len(each) for _, each in own)}
    if frames.unevaluated:
        notes["rows of actions that are not evaluated"] = frames.unevaluated
    bare = sum(not labels_of(each) for _, each in own)
    if bare:
        notes["keyframes without an evaluated action"] = bare
    missing = sum(not item.path for item in made)
    if missing:
        notes["keyframes whose video is not found"] = missing
    return notes


def _times(path: str) -> set[keyframes.Key]:
    found = set()
    for where, row in annotation_files.fields(path, "excluded timestamps"):
        time = annotation_files.number(row[1]) if len(row) == 2 else None
        if time is None:
            raise errors.UserError(f"{path}, {where}: expected `video,second`, found {len(row)} columns")
        found.add((row[0], time))
    return found
