"""Diving48 V2: JSON lists of clips, and the four parts of each of the 48 dives."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

PUBLISHED = {"train": 15_027, "test": 1_970}


@dataclasses.dataclass(frozen=True)
class Diving48:
    """Clips of one dive each. In V2 only 47 of the 48 classes occur; frame rates of train and test differ.

    The labels of V1 are noisy and its clips have the same names: a size other than V2's is noted.

    Args:
        videos: folder with the clips, VID_NAME.mp4.
        vocabulary: Diving48_vocab.json, a list of four parts for each class.
        train, test: Diving48_V2_train.json, Diving48_V2_test.json.
        classes: number of classes.
    """

    videos: str
    vocabulary: str
    train: str = ""
    test: str = ""
    classes: int = 48

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.vocabulary, self.train, self.test), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "test"; start_frame and end_frame span the whole file: no cut."""
        del cache
        name = f"diving48 v2/{split}"
        path = item_sets.file_of(self, split, name)
        names = self._classes()
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        for number, row in enumerate(annotation_files.json_of(path, list, "the clips of Diving48"), 1):
            where = f"entry {number}"
            label = annotation_files.whole(row.get("label")) if isinstance(row, dict) else None
            if label is None or not isinstance(row.get("vid_name"), str):
                found.skip("entry without vid_name or label", where)
            elif label >= len(names):
                found.skip("label that is no class", f"{where}: {label}")
            else:
                clip = row["vid_name"]
                extra = {each: row[each] for each in ("start_frame", "end_frame") if each in row}
                found.add(clip_files.item(files, clip, clip, labels=(label,), extra=extra), where)
        return found.finish(names, published=PUBLISHED.get(split))

    def _classes(self) -> tuple[str, ...]:
        rows = annotation_files.json_of(self.vocabulary, list, "the classes of Diving48")
        if not all(isinstance(row, list) and all(isinstance(each, str) for each in row) for row in rows):
            raise errors.UserError(
                f"{self.vocabulary}: expected a list of names for each class; is this Diving48_vocab.json?"
            )
        return item_sets.ordered([" ".join(row) for row in rows], self.classes, self.vocabulary, {})
