"""ActivityNet Captions for retrieval: the sentences of a video joined to one paragraph."""

import dataclasses
import pathlib

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

PUBLISHED = {"train": 10_009, "val": 4_917}


@dataclasses.dataclass(frozen=True)
class Paragraphs:
    """Whole videos, each with a paragraph: its sentences in the order of the file, joined with blanks.

    A paragraph has about 50 words, so a text tower of 64 tokens does not see the end of many.

    Args:
        videos: folder with the videos, `v_ID.mp4` or `ID.mp4`.
        train: train.json, {"v_ID": {"duration", "timestamps", "sentences"}}.
        val: val_1.json (4,917 videos, as most papers), or val_2.json.
        chosen: list of ids that chooses a part of the split (val_ids.json); "" for all.
    """

    videos: str
    train: str = ""
    val: str = ""
    chosen: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.val, self.chosen), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of "train" or "val"; `extra["segments"]` holds the times of the sentences."""
        del cache
        name = f"activitynet paragraphs/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        rows = annotation_files.json_of(path, dict, "the videos of ActivityNet Captions")
        chosen = captions.listed(self.chosen, found, list(rows))
        for video, row in rows.items():
            where = video[:40]
            if chosen is not None and video not in chosen:
                continue
            if not isinstance(row, dict) or not isinstance(row.get("sentences"), list):
                found.skip("video without sentences", where)
                continue
            sentences = captions.kept(row["sentences"], found, where)
            if not sentences:
                found.skip("video without a caption", where)
                continue
            times = row.get("timestamps", [])
            if not isinstance(times, list) or len(times) != len(row["sentences"]):
                found.skip("as many times as sentences expected (the video is kept)", where)
                times = []
            fields = files.fields(video)
            stem = video if fields["path"] else video.removeprefix("v_")
            extra = {"segments": tuple(map(tuple, filter(lambda each: isinstance(each, list), times)))}
            item = clip_files.item(files, video, stem, texts=(" ".join(sentences),), extra=extra)
            found.add(item, where)
        notes = captions.repeated(found.items)
        return found.finish(published=PUBLISHED.get(split), notes=notes)
