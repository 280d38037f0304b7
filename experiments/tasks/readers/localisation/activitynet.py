"""ActivityNet 1.3: untrimmed videos with the times of their activities, from the official JSON file."""

import dataclasses
import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items, segments
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

_SUBSETS = {"train": "training", "val": "validation"}
# Recalled; lists of videos that are still online are shorter (G-TAD's: 9,649 and 4,728).
PUBLISHED = {"train": 10_024, "val": 4_926}
VERSIONS = {200: "ActivityNet 1.3", 100: "ActivityNet 1.2"}


@dataclasses.dataclass(frozen=True)
class ActivityNet:
    """Videos with segments; activities of the testing videos are not public, so papers score "val".

    Segments stay as the file has them, also those of zero length and those that end after the video: the
    metric defines what they mean, and heads learn from what is inside. Their numbers are noted.

    Args:
        videos: folder with the videos, ID.mp4 or v_ID.mp4.
        annotations: activity_net.v1-3.min.json.
        blocked: file of ids that are left out, one a line, or a JSON list; "" for none. The official
            evaluator asks a server for it that is gone.
        classes: number of classes; their indices follow the sorted names.
    """

    videos: str
    annotations: str
    blocked: str = ""
    classes: int = 200

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.annotations, self.blocked), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of "train" or "val"."""
        del cache
        name = f"activitynet 1.3/{split}"
        if split not in _SUBSETS:
            raise errors.UserError(
                f"{name}: expected the split 'train' or 'val', got {split!r}; activities of the testing "
                "videos are not public"
            )
        videos = self._database()
        index = self._index(videos)
        blocked = self._blocked()
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        counts = {"zero length": 0, "beyond": 0, "several": 0}
        for video, row in videos.items():
            if not isinstance(row, dict) or row.get("subset") != _SUBSETS[split]:
                continue
            if video.removeprefix("v_") in blocked:
                found.skip("video of the list of blocked ones", video[:40])
                continue
            duration = annotation_files.number(row.get("duration"))
            if not duration:
                found.skip("video without duration", video[:40])
                continue
            spans = self._segments(video, row.get("annotations"), index, found)
            counts["zero length"] += sum(each.start == each.end for each in spans)
            counts["beyond"] += sum(each.end > duration for each in spans)
            labels = tuple(sorted({each.label for each in spans}))
            counts["several"] += len(labels) > 1
            extra: dict[str, Any] = {segments.SEGMENTS: spans, segments.DURATION: duration}
            stem = video.removeprefix("v_")
            if not files.fields(stem)["path"]:
                stem = f"v_{stem}"
            found.add(clip_files.item(files, video, stem, labels=labels, extra=extra), video[:40])
        notes = {
            f"segments {text}": counts[key]
            for key, text in (("zero length", "of zero length"), ("beyond", "that end after the video"))
            if counts[key]
        }
        if counts["several"]:
            notes["videos of several classes"] = counts["several"]
        missing = sum(not item.path for item in found.items)
        if missing:
            notes["videos not found"] = missing
        return found.finish(
            tuple(index), published=PUBLISHED[split], multi_label=True, notes=notes
        )  # fmt: skip

    def _database(self) -> dict[str, Any]:
        data = annotation_files.json_of(self.annotations, dict, "the annotations of ActivityNet")
        videos = data.get("database")
        if not isinstance(videos, dict):
            raise errors.UserError(
                f"{self.annotations}: expected an object 'database', found keys "
                f"{', '.join(map(repr, list(data)[:5]))}; is this activity_net.v1-3.min.json?"
            )
        return videos

    def _index(self, videos: dict[str, Any]) -> dict[str, int]:
        """Return name -> index of the classes of all splits."""
        rows = [row.get("annotations") for row in videos.values() if isinstance(row, dict)]
        parts = [part for each in rows if isinstance(each, list) for part in each if isinstance(part, dict)]
        names = sorted({str(part["label"]) for part in parts if part.get("label")})
        listed = item_sets.ordered(names, self.classes, self.annotations, VERSIONS)
        return {each: number for number, each in enumerate(listed)}

    def _blocked(self) -> set[str]:
        if not self.blocked:
            return set()
        if self.blocked.endswith(".json"):
            listed = annotation_files.json_of(self.blocked, list, "a list of blocked videos")
            return {str(each).removeprefix("v_") for each in listed}
        return {line.removeprefix("v_") for _, line in annotation_files.lines(self.blocked)}

    def _segments(
        self, video: str, parts: Any, index: dict[str, int], found: item_sets.Collector
    ) -> tuple[segments.Segment, ...]:
        made = []
        for number, part in enumerate(parts if isinstance(parts, list) else []):
            where = f"{video[:40]} segment {number}"
            part = part if isinstance(part, dict) else {}
            times = part.get("segment")
            ends = [annotation_files.number(each) for each in times] if isinstance(times, list) else []
            if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] > ends[1]:
                found.skip("segment that ends before its start", where)
            elif part.get("label") not in index:
                found.skip("segment without class", where)
            else:
                made.append(segments.Segment(ends[0], ends[1], index[part["label"]]))
        return tuple(made)
