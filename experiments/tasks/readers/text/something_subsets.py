"""SSv2-Temporal and SSv2-Events (VideoCon): videos against the descriptions of a few actions."""

import dataclasses
import pathlib
import re

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.classification import something

# Videos by the number of actions.
PUBLISHED = {18: ("SSv2-Temporal", 216), 49: ("SSv2-Events", 588)}
_PROMPT = re.compile(r'description: "(.*)"\?', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class SomethingSubset:
    """Every video with every description, and whether they match; read as "test".

    The official metric is average precision over the videos of each description; the paper calls it top-1.

    Args:
        videos: folder with the videos of Something-Something v2; the tables say .avi, any suffix will do.
        test: eval_ssv2_temporal.csv or eval_ssv2_events.csv, `videopath,caption,match`. A caption is a whole
            prompt of a language model; the quoted description is used.
        brackets: keep the brackets of "[something]", as the table has them.
        actions: number of descriptions, 18 or 49.
    """

    videos: str
    test: str
    brackets: bool = False
    actions: int = 18

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.test,), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of "test"; classes are the descriptions in the order of their first rows."""
        del cache
        name, published = PUBLISHED.get(self.actions, ("SSv2 subset", None))
        found = item_sets.Collector(f"{name}/{split}")
        path, files = item_sets.file_of(self, split, found.name), clip_files.ClipFiles(self.videos)
        classes: dict[str, int] = {}
        matches: dict[str, dict[str, bool]] = {}
        for where, row in annotation_files.table(path, ("videopath", "caption", "match"), "VideoCon's pairs"):
            if isinstance(row, str):
                found.skip(row, where)
                continue
            text = _PROMPT.search(row["caption"])
            caption = " ".join((text[1] if text else row["caption"]).split())
            video = clip_files.name_of(row["videopath"]).rpartition("/")[2]
            if not caption or not video or row["match"].strip() not in ("0", "1"):
                found.skip("row without video, description or match", where)
            elif caption in matches.get(video, {}):
                found.skip("pair that occurs before", f"{where}: {video}")
            else:
                classes.setdefault(caption, len(classes))
                matches.setdefault(video, {})[caption] = row["match"].strip() == "1"
        names = item_sets.ordered(
            list(classes), self.actions, path, {k: v for k, (v, _) in PUBLISHED.items()}
        )
        for video, pairs in matches.items():
            labels = tuple(sorted(classes[caption] for caption, match in pairs.items() if match))
            if len(pairs) < len(names):
                found.skip(f"video with fewer than {len(names)} descriptions", video)
            elif not labels:
                found.skip("video that matches no description", video)
            else:
                found.add(clip_files.item(files, video, video, labels=labels), video)
        several = any(len(item.labels) > 1 for item in found.items)
        shown = names if self.brackets else tuple(map(something.without_brackets, names))
        if len(set(shown)) < len(shown):
            raise errors.UserError(f"{path}: descriptions that differ only in brackets; set brackets=True")
        return found.finish(shown, published=published, multi_label=several)
