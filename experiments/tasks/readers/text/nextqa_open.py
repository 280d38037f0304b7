"""NExT-QA open-ended: questions with answers of a few words; the test split has a second reference."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items, texts
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import clip_questions

_COLUMNS = ("video", "question", "answer", "qid", "type")
PUBLISHED = {"train": 37_523, "val": 5_343, "test": 9_178}


@dataclasses.dataclass(frozen=True)
class NextQaOpen:
    """Questions of the open-ended files, whose rows are others than those of the multiple choice files.

    Args:
        videos: folder with the videos, as the map names them (`1164/3238737531.mp4`) or by their id.
        train, val, test: train.csv, val.csv, test.csv.
        second: add_reference_answer_test.json, {video: {qid: answer}}; "" for the first reference alone, with
            which scores are lower. Only the test split has it.
        video_map: map_vid_vidorID.json, {id: path}; "" if videos are named by their id.
    """

    videos: str
    train: str = ""
    val: str = ""
    test: str = ""
    second: str = ""
    video_map: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        files = (self.train, self.val, self.test, self.second, self.video_map)
        return clip_files.digest(files, self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the videos of a split with their questions in `extra`; type TP counts as TN."""
        del cache
        name = f"nextqa open-ended/{split}"
        path = item_sets.file_of(self, split, name)
        asked = clip_questions.Asked(name, self.videos)
        paths = annotation_files.json_of(self.video_map, dict, "id: path") if self.video_map else {}
        more = {}
        if self.second and split == "test":
            more = annotation_files.json_of(self.second, dict, "second answers: {video: {qid: answer}}")
        matched = 0
        for where, row in annotation_files.table(path, _COLUMNS, "open-ended questions of NExT-QA"):
            if isinstance(row, str):
                asked.found.skip(row, where)
                continue
            if "a0" in row:
                raise errors.UserError(
                    f"{path}: expected open-ended questions, found the columns a0 to a4; give the file of "
                    "NExT-OE, whose rows are others"
                )
            video, key = row["video"].strip(), row["qid"].strip()
            place = paths.get(video, video)
            stem = clip_files.name_of(place) if isinstance(place, str) else video
            of_video = more.get(video)
            other = of_video.get(key) if isinstance(of_video, dict) else None
            matched += isinstance(other, str)
            answers = (row["answer"], other) if isinstance(other, str) else (row["answer"],)
            kind = row["type"].strip().upper().replace("TP", "TN")
            asked.add(video, stem, texts.Question(key, row["question"], answers, kind), where)
        if more and not matched:
            raise errors.UserError(
                f"{self.second}: expected answers to questions of {path}, found none; are both of one "
                "release?"
            )
        found = asked.finish(PUBLISHED.get(split))
        variant = f"{matched} questions with a second reference" if more else "one reference"
        return dataclasses.replace(found, notes={**found.notes, "variant": variant})
