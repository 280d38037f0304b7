"""MSR-VTT: the 1kA test list of single captions, and the full splits of 20 captions a clip."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

_SPLITS = {"train": "train", "val": "validate", "test": "test"}
PUBLISHED = {"train": 6_513, "val": 497, "test": 2_990}


@dataclasses.dataclass(frozen=True)
class OneKa:
    """The 1,000 pairs of the split 1kA (JSFusion); read as "test".

    Four sentences occur more than once, so that a score which counts only the pair itself cannot reach 100%.

    Args:
        videos: folder with the clips, videoN.mp4.
        test: MSRVTT_JSFUSION_test.csv, `key,vid_key,video_id,sentence`.
    """

    videos: str
    test: str

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.test,), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "test", one caption each."""
        del cache
        name = f"msrvtt 1kA/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        for where, row in annotation_files.table(path, ("video_id", "sentence"), "the list of 1kA"):
            if isinstance(row, str):
                found.skip(row, where)
                continue
            clip, texts = row["video_id"].strip(), captions.kept(row["sentence"], found, where)
            if texts:
                found.add(clip_files.item(files, clip, clip, texts=texts), where)
        return found.finish(published=1000, notes=captions.repeated(found.items))


@dataclasses.dataclass(frozen=True)
class Full:
    """The splits of the data set: 2,990 test clips with 20 captions each.

    Args:
        videos: folder with the clips, videoN.mp4.
        data: MSRVTT_data.json (or videodatainfo), {"videos": [...], "sentences": [...]}.
        most_captions: use the first captions of a clip; None for all.
    """

    videos: str
    data: str
    most_captions: int | None = None

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.data,), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train", "val" or "test" with their captions in the order of the file."""
        del cache
        name = f"msrvtt full/{split}"
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        data = annotation_files.json_of(self.data, dict, "videos and sentences of MSR-VTT")
        clips = {
            row["video_id"]: number
            for number, row in enumerate(_list(data, "videos", self.data), 1)
            if isinstance(row, dict)
            and isinstance(row.get("video_id"), str)
            and row.get("split") == _SPLITS.get(split)
        }
        texts: dict[str, list[str]] = {clip: [] for clip in clips}
        others = {row.get("video_id") for row in data["videos"] if isinstance(row, dict)}
        for number, row in enumerate(_list(data, "sentences", self.data), 1):
            where = f"sentence {number}"
            clip = row.get("video_id") if isinstance(row, dict) else None
            if clip in texts:
                texts[clip] += captions.kept(row.get("caption"), found, where)
            elif clip not in others:
                found.skip("caption of no clip", f"{where}: {str(clip)[:40]}")
        for clip, number in clips.items():
            if not texts[clip]:
                found.skip("clip without a caption", f"video {number}: {clip[:40]}")
                continue
            chosen = tuple(texts[clip][: self.most_captions])
            found.add(clip_files.item(files, clip, clip, texts=chosen), f"video {number}")
        return found.finish(published=PUBLISHED.get(split), notes=captions.repeated(found.items))


def _list(data: dict, key: str, path: str) -> list:
    if not isinstance(data.get(key), list):
        raise errors.UserError(
            f"{path}: expected a list {key!r}, found keys {', '.join(map(repr, list(data)[:5]))}; is this "
            "MSRVTT_data.json?"
        )
    found: list = data[key]
    return found
