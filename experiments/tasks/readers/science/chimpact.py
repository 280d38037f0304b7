"""ChimpACT: boxes and behaviours of chimpanzees, from its JSON files (COCO-VID) or the tables of its tool."""

import dataclasses
import pathlib
import posixpath
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.localisation import ava, keyframes

CLASSES = 23


@dataclasses.dataclass(frozen=True)
class ChimpAct:
    """Clips around the frames with boxes; papers score annotated boxes.

    Args:
        videos: folder with a folder of pictures for each video, one a frame, or with the videos.
        actions: file with the 23 behaviours, one a line in the order of their ids.
        train, val, test: folder of JSON files, one a video, or the table of the tool
            (`test/images/VIDEO,FRAME,x1,y1,x2,y2,BEHAVIOUR,ANIMAL`). Behaviours count from 0 in JSON,
            from 1 in tables, as the tool writes them.
        excluded: table of the tool with frames that are left out, `VIDEO,FRAME`; "" for none.
        length: frames of a clip around the frame. The paper: 64.
        every: use each frame whose number is a multiple of this; 1 for all.
        first: number of the first frame of a video.
        fps: frames a second of the videos; not used for folders of pictures.
    """

    videos: str
    actions: str
    train: str = ""
    val: str = ""
    test: str = ""
    excluded: str = ""
    length: int = 64
    every: int = 1
    first: int = 0
    fps: float = 25.0

    def __post_init__(self) -> None:
        if self.length < 1 or self.every < 1 or self.first not in (0, 1) or not 0 < self.fps < 10_000:
            raise errors.UserError(
                "chimpact: expected length and every of 1 or more, first of 0 or 1 and fps above 0, got "
                f"{self.length}, {self.every}, {self.first} and {self.fps}"
            )

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        listed = [each for path in (self.train, self.val, self.test) if path for each in _files(path)]
        return clip_files.digest((self.actions, self.excluded, *listed), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the frames of "train", "val" or "test"."""
        del cache
        name = f"chimpact/{split}"
        path = item_sets.file_of(self, split, name)
        names = [line for _, line in annotation_files.lines(self.actions)]
        classes = item_sets.ordered(names, CLASSES, self.actions, {})
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        frames = keyframes.Keyframes(found, {id_ + 1: id_ for id_ in range(CLASSES)}, CLASSES)
        ends: dict[str, float] = {}
        for one in _files(path):
            if one.endswith(".json"):
                _coco(one, frames, found, ends)
            else:
                _table(one, frames, found)
        notes: dict[str, Any] = {}
        if self.excluded:
            rows = annotation_files.fields(self.excluded, "excluded frames")
            times = {(row[0].rpartition("/")[2], annotation_files.number(row[-1]) or 0.0) for _, row in rows}
            notes["excluded frames"] = frames.drop(times)
        own = [(key, each) for key, each in frames.each() if key[1] % self.every == 0]
        for key, _ in own:
            ends[key[0]] = max(ends.get(key[0], 0), key[1] + 1 - self.first)
        for key, annotated in own:
            self._add(found, files, key, annotated, int(ends[key[0]]))
        notes |= ava.counted(frames, own, found.items)
        return found.finish(classes, multi_label=True, notes=notes)

    def _add(
        self,
        found: item_sets.Collector,
        files: clip_files.ClipFiles,
        key: keyframes.Key,
        annotated: tuple[boxes.Box, ...],
        frames: int,
    ) -> None:
        video, number = key[0], int(key[1])
        at = number - self.first
        where = f"{video[:40]} frame {number}"
        if at < 0:
            found.skip("frame before the first; set the reader's first", where)
            return
        span = max(0, at - self.length // 2), min(frames, at - self.length // 2 + self.length) - 1
        extra = {boxes.BOXES: annotated, "frames": span, "fps": self.fps}
        item = clip_files.item(
            files, f"{video}:{number}", video, labels=ava.labels_of(annotated), group=video, extra=extra
        )
        found.add(item, where)


def _files(path: str) -> list[str]:
    """Return the JSON files of a folder, or the table itself."""
    path = user_paths.expand(path)
    if filesystem.file_type(path) != "folder":
        return [path]
    listed = [posixpath.join(folder, name) for folder, inside in file_names.walk(path) for name in inside
              if name.endswith(".json")]  # fmt: skip
    if not listed:
        raise errors.UserError(f"{path}: expected JSON files, one a video, found none")
    return [file_names.join(path, each) for each in sorted(listed)]


def _table(path: str, frames: keyframes.Keyframes, found: item_sets.Collector) -> None:
    for where, row in annotation_files.fields(path, "boxes with behaviours"):
        number = annotation_files.whole(row[1]) if len(row) in (2, 7, 8) else None
        if number is None:
            found.skip("row that is none (video, frame, x1, y1, x2, y2, behaviour, animal)", where)
            continue
        key = (row[0].rpartition("/")[2], float(number))
        if len(row) == 2:
            frames.empty(key)
        else:
            frames.add(key, row[2:6], row[6], row[7] if len(row) > 7 else "", where)


def _coco(path: str, frames: keyframes.Keyframes, found: item_sets.Collector, ends: dict[str, float]) -> None:
    """Read a JSON file: corners from x, y, width, height in pixels, behaviours counted from 0."""
    data = annotation_files.json_of(path, dict, "the annotations of a video of ChimpACT")
    images, parts = data.get("images"), data.get("annotations")
    if not isinstance(images, list) or not isinstance(parts, list):
        raise errors.UserError(
            f"{path}: expected lists 'images' and 'annotations', found keys "
            f"{', '.join(map(repr, list(data)[:5]))}; is this a file of ChimpACT?"
        )
    video = posixpath.basename(path).removesuffix(".json")
    known: dict[Any, tuple[float, float, float]] = {}
    for number, image in enumerate(images):
        image = image if isinstance(image, dict) else {}
        values = [annotation_files.number(image.get(each)) for each in ("frame_id", "width", "height")]
        if values[0] is None or not values[1] or not values[2]:
            found.skip("picture without frame_id, width or height", f"{video[:40]} picture {number}")
            continue
        known[image.get("id")] = (values[0], values[1], values[2])
        ends[video] = max(ends.get(video, 0), len(images))
    for number, part in enumerate(parts):
        where = f"{video[:40]} box {number}"
        part = part if isinstance(part, dict) else {}
        box, picture = part.get("bbox"), known.get(part.get("image_id"))
        if picture is None or not isinstance(box, list) or len(box) != 4:
            found.skip("box without picture or without four numbers", where)
            continue
        frame, width, height = picture
        corner = [each if isinstance(each, int | float) else float("nan") for each in box]
        shares = (corner[0] / width, corner[1] / height,
                  (corner[0] + corner[2]) / width, (corner[1] + corner[3]) / height)  # fmt: skip
        behaviours = part.get("behaviors")
        for each in behaviours if isinstance(behaviours, list) else []:
            id_ = annotation_files.whole(each)
            action = "" if id_ is None else str(id_ + 1)
            frames.add((video, frame), shares, action, str(part.get("track_id", number)), where)
        if not behaviours:
            frames.empty((video, frame))
