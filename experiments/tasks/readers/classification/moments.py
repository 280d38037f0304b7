"""Moments in Time: a list of categories and tables of paths below the folders of their labels."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

VERSIONS = {339: "Moments in Time v1", 305: "Moments in Time v2"}
PUBLISHED = {"val": 33_898, "train": 791_246}


@dataclasses.dataclass(frozen=True)
class MomentsInTime:
    """Clips of three seconds.

    Args:
        videos: folder with the clips, below folders of their labels.
        categories: moments_categories.txt, `name,index` lines.
        train: trainingSet.csv, `path,label,...` lines without a header.
        val: validationSet.csv.
        classes: number of classes.
    """

    videos: str
    categories: str
    train: str = ""
    val: str = ""
    classes: int = 339

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.categories, self.train, self.val), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "val"."""
        del cache
        name = f"moments in time/{split}"
        path = item_sets.file_of(self, split, name)
        names = self._classes()
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        index = {each: number for number, each in enumerate(names)}
        for where, row in annotation_files.fields(path, "path,label rows"):
            if len(row) < 2:
                found.skip("row without a label", where)
            elif row[1].strip() not in index:
                found.skip("label that is no category", f"{where}: {row[1].strip()[:60]!r}")
            else:
                clip = clip_files.name_of(row[0])
                item = clip_files.item(files, clip, clip, labels=(index[row[1].strip()],))
                found.add(item, where)
        return found.finish(names, published=PUBLISHED.get(split))

    def _classes(self) -> tuple[str, ...]:
        pairs: dict[int, str] = {}
        for where, row in annotation_files.fields(self.categories, "name,index rows"):
            number = annotation_files.whole(row[1]) if len(row) == 2 else None
            if number is None or number in pairs:
                raise errors.UserError(
                    f"{self.categories}, {where}: expected a name and an index of its own, found "
                    f"{','.join(row)[:60]!r}; is this moments_categories.txt?"
                )
            pairs[number] = row[0].strip()
        names = item_sets.by_index(pairs, self.categories)
        return item_sets.ordered(names, self.classes, self.categories, VERSIONS)
