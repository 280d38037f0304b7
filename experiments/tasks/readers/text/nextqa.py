"""NExT-QA multiple choice, and its part ATP-hard that a single frame does not answer."""

import collections
import dataclasses
import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.text import captions

_OPTIONS = ("a0", "a1", "a2", "a3", "a4")
_COLUMNS = ("video", "question", "answer", "qid", "type", *_OPTIONS)
# Rows of val.csv, and of its part ATP-hard.
PUBLISHED, PUBLISHED_HARD = 4_996, 2_269


@dataclasses.dataclass(frozen=True)
class NextQa:
    """Questions with five options each; read as "val". Chance is 20%.

    Args:
        videos: folder with the videos, as the map names them (`1164/3238737531.mp4`) or by their id.
        val: val.csv of the multiple choice files.
        video_map: map_vid_vidorID.json, {id: path}; "" if videos are named by their id.
        hard: atp-hard-ct4.txt, numbers of rows of val.csv from 0; "" for all rows, or if `val` holds the rows
            of ATP-hard only (VideoCon's nextqa-atphard.csv).
    """

    videos: str
    val: str
    video_map: str = ""
    hard: str = ""

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.val, self.video_map, self.hard), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return one item a question; `texts` are the options, `extra` has the question and its type."""
        del cache
        name = f"nextqa{' atp-hard' if self.hard else ''}/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        advice = "open-ended files have no a0 to a4: give val.csv of the multiple choice files"
        rows = list(annotation_files.table(path, _COLUMNS, "questions of NExT-QA", advice=advice))
        chosen = self._chosen(len(rows), found)
        paths = annotation_files.json_of(self.video_map, dict, "id: path") if self.video_map else {}
        for where, row in [rows[number] for number in chosen]:
            if isinstance(row, str):
                found.skip(row, where)
                continue
            answer = annotation_files.whole(row["answer"])
            options = captions.kept([row[each] for each in _OPTIONS], found, where)
            video = row["video"].strip()
            if answer is None or answer >= len(_OPTIONS) or not row["question"].strip():
                found.skip("row without question or answer 0 to 4", where)
            elif len(options) < len(_OPTIONS):
                found.skip("question with fewer than five options", where)
            else:
                place = paths.get(video, video)
                stem = clip_files.name_of(place) if isinstance(place, str) else video
                extra = {each: " ".join(row[each].split()) for each in ("question", "type")}
                key = f"{video}/{row['qid'].strip()}"
                found.add(
                    clip_files.item(
                        files, key, stem, texts=options, answer=answer, group=video, extra=extra
                    ),
                    where,
                )  # fmt: skip
        kinds = collections.Counter(item.extra["type"] for item in found.items)
        notes: dict[str, Any] = {"types": ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds))}
        same = sum(len(set(item.texts)) < len(_OPTIONS) for item in found.items)
        if same:
            notes["questions with two equal options"] = same
        if self.hard and set("".join(kind[:1] for kind in kinds)) - {"C", "T"}:
            notes["warning"] = (
                "ATP-hard has causal and temporal questions only: are val and hard of one release?"
            )
        published = PUBLISHED_HARD if self.hard or len(rows) == PUBLISHED_HARD else PUBLISHED
        return found.finish(published=published, notes=notes)

    def _chosen(self, rows: int, found: item_sets.Collector) -> list[int]:
        if not self.hard:
            return list(range(rows))
        chosen = []
        for where, line in annotation_files.lines(self.hard):
            for each in line.replace(",", " ").split():
                number = annotation_files.whole(each)
                if number is None:
                    raise errors.UserError(
                        f"{self.hard}, {where}: expected row numbers, found {each[:40]!r}; is this "
                        "atp-hard-ct4.txt?"
                    )
                if number < rows:
                    chosen.append(number)
                else:
                    found.skip(f"row number beyond the {rows} rows of val", f"{where}: {number}")
        return chosen
