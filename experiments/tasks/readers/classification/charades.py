"""Charades: videos with any number of actions, for multi-label and zero-shot classification."""

import dataclasses
import pathlib
import re

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets

PUBLISHED = {"train": 7_985, "test": 1_863}
_ACTION = re.compile(r"(c\d{3}) (\S+) (\S+)")


@dataclasses.dataclass(frozen=True)
class Charades:
    """Videos of about 30 seconds with 157 actions; a video has every class that occurs in it, once.

    Videos without any action are kept; how they count depends on the variant of average precision.

    Args:
        videos: folder with the videos, ID.mp4.
        class_file: Charades_v1_classes.txt, `c000 Holding some clothes` lines.
        train, test: Charades_v1_train.csv, Charades_v1_test.csv.
        classes: number of classes.
    """

    videos: str
    class_file: str
    train: str = ""
    test: str = ""
    classes: int = 157

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.class_file, self.train, self.test), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of "train" or "test"; `extra["segments"]` has (class, start, end) of actions."""
        del cache
        name = f"charades/{split}"
        path = item_sets.file_of(self, split, name)
        names = self._classes()
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        for where, row in annotation_files.table(path, ("id", "actions"), "a table of Charades"):
            if isinstance(row, str):
                found.skip(row, where)
                continue
            segments = []
            for action in filter(None, (each.strip() for each in row["actions"].split(";"))):
                match = _ACTION.fullmatch(action)
                times = [annotation_files.number(each) for each in match.groups()[1:]] if match else [None]
                if match is None or None in times or int(match[1][1:]) >= len(names):
                    found.skip("action that is none (its video is kept)", f"{where}: {action[:40]!r}")
                    continue
                segments.append((int(match[1][1:]), *times))
            labels = tuple(sorted({segment[0] for segment in segments}))
            video, extra = row["id"].strip(), {"segments": tuple(segments)}
            found.add(clip_files.item(files, video, video, labels=labels, extra=extra), where)
        empty = sum(not item.labels for item in found.items)
        notes = {"videos without a label": empty} if empty else {}
        return found.finish(names, published=PUBLISHED.get(split), multi_label=True, notes=notes)

    def _classes(self) -> tuple[str, ...]:
        pairs: dict[int, str] = {}
        for where, line in annotation_files.lines(self.class_file):
            code, _, text = line.partition(" ")
            if not re.fullmatch(r"c\d{3}", code) or not text.strip() or int(code[1:]) in pairs:
                raise errors.UserError(
                    f"{self.class_file}, {where}: expected 'c000 Name', found {line[:60]!r}; is this "
                    "Charades_v1_classes.txt?"
                )
            pairs[int(code[1:])] = text.strip()
        names = item_sets.by_index(pairs, self.class_file)
        return item_sets.ordered(names, self.classes, self.class_file, {})
