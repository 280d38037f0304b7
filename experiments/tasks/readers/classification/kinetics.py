"""Kinetics-400 and Kinetics-600: the crawler's CSV files, also used for zero-shot classification."""

import dataclasses
import pathlib
from collections.abc import Iterator

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

VERSIONS = {400: "Kinetics-400", 600: "Kinetics-600", 700: "Kinetics-700"}
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_NAMES = {"val": ("val", "validate", "validation"), "train": ("train",), "test": ("test",)}
# Rows of the validation files; of training videos every copy has another number.
PUBLISHED = {(400, "val"): 19_906, (600, "val"): 30_000}


@dataclasses.dataclass(frozen=True)
class Kinetics:
    """Clips that were cut from YouTube, named ID_START_END (six digits each) in any folder.

    Class indices follow the sorted names: a convention, no part of the files; `class_list` overrides it.

    Args:
        videos: folder with the clips.
        train, val, test: `label,youtube_id,time_start,time_end,split` tables of each split; "" if not needed.
        classes: number of classes.
        class_list: file with one class name a line, in the order of their indices; "" for the sorted names
            of all given tables.
    """

    videos: str
    train: str = ""
    val: str = ""
    test: str = ""
    classes: int = 400
    class_list: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.val, self.test, self.class_list), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train", "val" or "test"."""
        del cache
        name = f"kinetics{self.classes}/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        names = self._classes()
        index = {each: number for number, each in enumerate(names)}
        for where, row in _rows(path):
            if isinstance(row, str):
                found.skip(row, where)
                continue
            start, end = (annotation_files.whole(row[each]) for each in ("time_start", "time_end"))
            label, video = row["label"].strip(), row["youtube_id"].strip()
            if row.get("split", split).strip() not in _NAMES[split]:
                found.skip("row of another split", f"{where}: {row['split'][:20]}")
            elif label not in index:
                found.skip("label that is no class", f"{where}: {label[:60]!r}")
            elif start is None or end is None or end <= start or not video:
                found.skip("id or times that are none", where)
            else:
                stem = f"{video}_{start:06d}_{end:06d}"
                found.add(clip_files.item(files, stem, stem, labels=(index[label],), group=video), where)
        return found.finish(names, published=PUBLISHED.get((self.classes, split)))

    def _classes(self) -> tuple[str, ...]:
        if self.class_list:
            listed = [line for _, line in annotation_files.lines(self.class_list)]
            return item_sets.ordered(listed, self.classes, self.class_list, VERSIONS)
        given = [path for path in (self.train, self.val) if path] or [self.test]
        labels = {
            row["label"].strip() for path in given for _, row in _rows(path) if not isinstance(row, str)
        }
        return item_sets.ordered(sorted(labels - {""}), self.classes, " and ".join(given), VERSIONS)


def _rows(path: str) -> Iterator[tuple[str, dict[str, str] | str]]:
    advice = "the crawler's test table has no labels: give one that has, or evaluate val"
    return annotation_files.table(path, _COLUMNS, "a table of Kinetics", advice=advice)
