"""AVA-Kinetics: the keyframes of AVA, and one or more in clips of Kinetics-700."""

import dataclasses
import pathlib
import re
from typing import Any

from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.readers import clip_files, item_sets
from prismlab.experiments.tasks.readers.localisation import ava, detections, keyframes

PUBLISHED = {"train": 354_201, "val": 91_919}  # both parts together, as VideoGLUE counts them
_CLIP = re.compile(r"(.+)_(\d{6})_(\d{6})")


@dataclasses.dataclass(frozen=True)
class AvaKinetics:
    """Clips around annotated keyframes of both parts; actions are those of AVA.

    Times of the Kinetics part are seconds of the original YouTube video, files are clips of it: a keyframe
    belongs to the clip ID_START_END that it is inside of, the one with more room around it if there are two.

    Args:
        part: the reader of AVA; its detections may hold those of both parts.
        videos: folder with the clips of Kinetics-700, ID_START_END (six digits each).
        train, val: kinetics_train_v1.0.csv, kinetics_val_v1.0.csv.
        detections: boxes of a detector on the Kinetics part of "val"; "" for none.
    """

    part: ava.Ava
    videos: str
    train: str = ""
    val: str = ""
    detections: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        own = clip_files.digest((self.train, self.val, self.detections), self.videos)
        return own + self.part.content_digest(cache)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the keyframes of "train" or "val"."""
        name = f"ava-kinetics 1.0/{split}"
        path = item_sets.file_of(self, split, name)
        movies = self.part.read(split, cache)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        clips: dict[str, list[tuple[int, int]]] = {}
        for stem in files.stems():
            if match := _CLIP.fullmatch(stem):
                clips.setdefault(match[1], []).append((int(match[2]), int(match[3])))
        names = keyframes.evaluated(self.part.actions, self.part.classes)
        frames = ava.table(path, found, names, (7,))
        own = frames.each()
        given: dict[keyframes.Key, tuple[boxes.Detection, ...]] = {}
        if self.detections and split == "val":
            given = detections.read(self.detections, found, {key for key, _ in own}.__contains__)
        for key, annotated in own:
            found.add(self._item(files, clips, key, annotated, given.get(key, ())), f"{key[0]},{key[1]:g}")
        notes = {f"kinetics: {text}": value for text, value in ava.counted(frames, own, found.items).items()}
        if self.detections and split == "val":
            notes["kinetics: keyframes without detections"] = sum(key not in given for key, _ in own)
        kept = found.finish(movies.classes, multi_label=True, notes=notes)
        total = len(movies) + len(kept)
        notes = {**{f"ava: {text}": value for text, value in movies.notes.items()}, **kept.notes}
        if split in PUBLISHED and total != PUBLISHED[split]:
            notes["size"] = f"{total} keyframes annotated, {PUBLISHED[split]} published"
        return dataclasses.replace(kept, items=(*movies.items, *kept.items), notes=notes)

    def _item(
        self,
        files: clip_files.ClipFiles,
        clips: dict[str, list[tuple[int, int]]],
        key: keyframes.Key,
        annotated: tuple[boxes.Box, ...],
        given: tuple[boxes.Detection, ...],
    ) -> items.Item:
        video, time = key
        extra = {boxes.BOXES: annotated, boxes.DETECTIONS: given}
        room = {(start, end): min(time - start, end - time) for start, end in clips.get(video, [])}
        here = {span: least for span, least in room.items() if least > 0}
        fields: dict[str, Any] = {"labels": ava.labels_of(annotated), "group": video}
        name = f"kinetics {video},{time:g}"
        if not here:
            reason = f"{video}: no clip below {self.videos} is open at {time:g} s of the original video"
            return items.Item(name, extra={**extra, "missing": reason}, **fields)
        start, end = max(here, key=lambda span: here[span])
        middle, half = time - start, self.part.seconds / 2
        return clip_files.item(
            files, name, f"{video}_{start:06d}_{end:06d}", start=max(0.0, middle - half),
            end=min(middle + half, float(end - start)), extra=extra, **fields,
        )  # fmt: skip
