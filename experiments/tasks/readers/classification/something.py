"""Something-Something v2: JSON lists of clips with their templates, and the indices of the templates."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

VERSIONS = {174: "Something-Something v2 (v1 has the same number)"}
PUBLISHED = {"train": 168_913, "val": 24_777}


@dataclasses.dataclass(frozen=True)
class SomethingSomething:
    """Clips named by their number. The test split has no labels; "test" in papers is the validation split.

    Args:
        videos: folder with the clips.
        labels: something-something-v2-labels.json, {template: index}.
        train: something-something-v2-train.json.
        val: something-something-v2-validation.json.
        classes: number of classes.
    """

    videos: str
    labels: str
    train: str = ""
    val: str = ""
    classes: int = 174

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.labels, self.train, self.val), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "val"; the caption of a clip is its `label`, the filled template."""
        del cache
        name = f"something-something v2/{split}"
        path = item_sets.file_of(self, split, name)
        names = self._classes()
        index = {each: number for number, each in enumerate(names)}
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        rows = annotation_files.json_of(path, list, "the clips of Something-Something v2")
        if rows and all(isinstance(row, dict) and "template" not in row for row in rows):
            raise errors.UserError(
                f"{path}: its clips have no templates (the labels of the test split are not public); "
                "evaluate val, as papers do"
            )
        for number, row in enumerate(rows, 1):
            where = f"entry {number}"
            if not isinstance(row, dict) or not isinstance(row.get("template"), str) or "id" not in row:
                found.skip("entry without id or template", where)
                continue
            # Keys of the labels file have no brackets.
            template = without_brackets(row["template"])
            if template not in index:
                found.skip("template that is no class", f"{where}: {template[:60]!r}")
                continue
            text = str(row.get("label", "")).strip()
            clip, texts = str(row["id"]), (text,) if text else ()
            found.add(clip_files.item(files, clip, clip, labels=(index[template],), texts=texts), where)
        return found.finish(names, published=PUBLISHED.get(split))

    def _classes(self) -> tuple[str, ...]:
        pairs: dict[int, str] = {}
        for template, number in annotation_files.json_of(self.labels, dict, "template: index").items():
            place = annotation_files.whole(number)
            if place is None or place in pairs:
                raise errors.UserError(
                    f"{self.labels}: expected an index of its own for {template[:60]!r}, found "
                    f"{str(number)[:20]!r}; is this something-something-v2-labels.json?"
                )
            pairs[place] = without_brackets(template)
        names = item_sets.by_index(pairs, self.labels)
        return item_sets.ordered(names, self.classes, self.labels, VERSIONS)


def without_brackets(template: str) -> str:
    """Return "Moving something up" for "Moving [something] up"."""
    return template.replace("[", "").replace("]", "").strip()
