"""Charades-STA as multiple choice: which description of its video belongs to a segment."""

import dataclasses
import pathlib
import re

import numpy as np

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

PUBLISHED = {"test": 3_720}
_LINE = re.compile(r"(\S+) (\S+) (\S+)##(.*)")


@dataclasses.dataclass(frozen=True)
class CharadesSta:
    """Segments of Charades videos; the options of a segment are all descriptions of its video, once each.

    Chance is no 20%: of the published test rows 394 have one option, so chance is 35.9%. More than half of
    the rows share their exact segment with another description, which is then right but counted as wrong;
    `extra["ambiguous"]` marks them, and `only` chooses rows without them.

    Args:
        videos: folder with the videos of Charades, ID.mp4.
        train, test: charades_sta_train.txt, charades_sta_test.txt, `ID START END##description` lines.
        only: "all" rows; "decidable" ones, with two options or more; or "unambiguous" ones, of these the rows
            whose segment has no other description.
    """

    videos: str
    train: str = ""
    test: str = ""
    only: str = "all"

    def __post_init__(self) -> None:
        if self.only not in ("all", "decidable", "unambiguous"):
            raise errors.UserError(
                f"charades-sta: only must be all, decidable or unambiguous, got {self.only!r}"
            )

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.test), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return one item a row of "train" or "test"."""
        del cache
        name = f"charades-sta/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        rows = []
        for where, line in annotation_files.lines(path):
            match = _LINE.fullmatch(line)
            times = [annotation_files.number(each) for each in match.groups()[1:3]] if match else [None, None]
            if match is None or times[0] is None or times[1] is None:
                found.skip("line that is no 'ID START END##description'", f"{where}: {line[:40]!r}")
            elif times[1] <= times[0]:
                found.skip("segment that ends before it starts", where)
            elif texts := captions.kept(match[4], found, where):
                rows.append((where, match[1], times[0], times[1], texts[0]))
        options: dict[str, list[str]] = {}
        segments: dict[tuple[str, float, float], set[str]] = {}
        for _, video, start, end, text in rows:
            if text not in options.setdefault(video, []):
                options[video].append(text)
            segments.setdefault((video, start, end), set()).add(text)
        for where, video, start, end, text in rows:
            texts = tuple(options[video])
            ambiguous = len(segments[video, start, end]) > 1
            if (self.only != "all" and len(texts) < 2) or (self.only == "unambiguous" and ambiguous):
                continue
            found.add(
                clip_files.item(
                    files, f"{video} {start:g}-{end:g} {texts.index(text)}", video, start=start, end=end,
                    texts=texts, answer=texts.index(text), group=video, extra={"ambiguous": ambiguous},
                ),
                where,
            )  # fmt: skip
        counts = np.asarray([len(item.texts) for item in found.items] or [1])
        notes = {
            "rows": self.only,
            "rows with one option": int((counts == 1).sum()),
            "rows whose segment has several descriptions": sum(i.extra["ambiguous"] for i in found.items),
            "chance of a random option": round(float((1 / counts).mean()), 4),
        }
        return found.finish(published=PUBLISHED.get(split) if self.only == "all" else None, notes=notes)
