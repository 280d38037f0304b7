"""MSRVTT-QA and MSVD-QA: questions with answers of one word, made from captions by rules."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items, texts
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import clip_questions

MSRVTT = {"train": 158_581, "val": 12_278, "test": 72_821}
MSVD = {"test": 13_157}


@dataclasses.dataclass(frozen=True)
class MsrvttQa:
    """Questions about the clips of MSR-VTT; video_id 7 is video7.

    Args:
        videos: folder with the clips, videoN.mp4.
        train, val, test: train_qa.json, val_qa.json, test_qa.json: lists of {"answer", "id", "question",
            "video_id"}.
    """

    videos: str
    train: str = ""
    val: str = ""
    test: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.val, self.test), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of a split with their questions in `extra`."""
        del cache
        name = f"msrvtt-qa/{split}"
        path = item_sets.file_of(self, split, name)
        return _read(name, path, self.videos, lambda number: f"video{number}", MSRVTT.get(split))


@dataclasses.dataclass(frozen=True)
class MsvdQa:
    """Questions about the clips of MSVD; video_id 7 is vid7, which the mapping names by its YouTube id.

    Args:
        videos: folder with the clips, named as in the mapping, or vidN without one.
        train, val, test: as of `MsrvttQa`.
        mapping: youtube_mapping.txt, a line "YOUTUBEID_START_END vidN"; "" for videos named vidN.
    """

    videos: str
    train: str = ""
    val: str = ""
    test: str = ""
    mapping: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        files = (self.train, self.val, self.test, self.mapping)
        return clip_files.digest(files, self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of a split with their questions in `extra`."""
        del cache
        name = f"msvd-qa/{split}"
        path = item_sets.file_of(self, split, name)
        names = _mapping(self.mapping) if self.mapping else {}
        stem = lambda number: names.get(f"vid{number}", f"vid{number}")
        return _read(name, path, self.videos, stem, MSVD.get(split))


def _mapping(path: str) -> Mapping[str, str]:
    found = {}
    for where, line in annotation_files.lines(path):
        parts = line.split()
        if len(parts) != 2 or not parts[1].startswith("vid"):
            raise errors.UserError(
                f"{path}, {where}: expected a name and vidN, found {line[:60]!r}; is this "
                "youtube_mapping.txt?"
            )
        found[parts[1]] = parts[0]
    return found


def _read(
    name: str, path: str, videos: str, stem: Callable[[int], str], published: int | None
) -> items.ItemSet:
    asked = clip_questions.Asked(name, videos)
    rows = annotation_files.json_of(path, list, "questions with answers")
    if rows and not (isinstance(rows[0], dict) and {"question", "answer", "video_id"} <= set(rows[0])):
        raise errors.UserError(
            f"{path}: expected rows with question, answer and video_id, found {str(rows[0])[:80]!r}; is this "
            "test_qa.json?"
        )
    for number, row in enumerate(rows, 1):
        where = f"row {number}"
        row = row if isinstance(row, dict) else {}
        clip, key = annotation_files.whole(row.get("video_id")), annotation_files.whole(row.get("id"))
        said = [row.get("question"), row.get("answer")]
        if clip is None or not all(isinstance(each, str) for each in said):
            asked.found.skip("row without a video, question or answer", where)
            continue
        text, answer = map(str, said)
        kind = text.split(" ", 1)[0].lower()
        question = texts.Question(str(number if key is None else key), text, (answer,), kind)
        asked.add(stem(clip), stem(clip), question, where)
    return asked.finish(published)
