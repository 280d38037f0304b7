"""YouCook2: parts of cooking videos, each with one sentence."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

_SUBSETS = {"train": "training", "val": "validation"}
VIDEOS = {"train": 1_333, "val": 457}


@dataclasses.dataclass(frozen=True)
class YouCook2:
    """Segments of the annotated videos; sentences of the test videos are not public, so papers score "val".

    Args:
        videos: folder with the videos, ID.mp4.
        annotations: youcookii_annotations_trainval.json, {"database": {id: {"subset", "duration",
            "annotations": [{"id", "segment", "sentence"}]}}}.
    """

    videos: str
    annotations: str

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.annotations,), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the segments of "train" or "val", one caption each, in seconds of their videos."""
        del cache
        name = f"youcook2/{split}"
        if split not in _SUBSETS:
            raise errors.UserError(
                f"{name}: expected the split 'train' or 'val', got {split!r}; sentences of the test videos "
                "are not public, and papers call val the test"
            )
        data = annotation_files.json_of(self.annotations, dict, "the annotations of YouCook2")
        videos = data.get("database")
        if not isinstance(videos, dict):
            raise errors.UserError(
                f"{self.annotations}: expected an object 'database', found keys "
                f"{', '.join(map(repr, list(data)[:5]))}; is this youcookii_annotations_trainval.json?"
            )
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        seen: set[str] = set()
        for video, row in videos.items():
            if not isinstance(row, dict) or row.get("subset") != _SUBSETS[split]:
                continue
            seen.add(video)
            parts = row.get("annotations")
            for number, part in enumerate(parts if isinstance(parts, list) else []):
                where = f"{video[:40]} segment {number}"
                part = part if isinstance(part, dict) else {}
                times = part.get("segment")
                ends = [annotation_files.number(each) for each in times] if isinstance(times, list) else []
                if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] >= ends[1]:
                    found.skip("segment that does not end after its start", where)
                    continue
                texts = captions.kept(part.get("sentence"), found, where)
                if texts:
                    key = f"{video}/{part.get('id', number)}"
                    item = clip_files.item(
                        files, key, video, start=ends[0], end=ends[1], texts=texts, group=video
                    )
                    found.add(item, where)
        notes = captions.repeated(found.items)
        if len(seen) != VIDEOS[split]:
            notes["size"] = f"{len(seen)} videos annotated, {VIDEOS[split]} published"
        return found.finish(notes=notes)
