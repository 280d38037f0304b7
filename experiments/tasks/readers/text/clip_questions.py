"""What readers of question answering share: the questions of a clip are collected, wrong ones are counted."""

import collections
import dataclasses
from typing import Any

from prismlab.experiments.tasks.interface import items, texts
from prismlab.experiments.tasks.readers import clip_files, item_sets


class Asked:
    """Clips of one split with their questions, each clip once.

    Args:
        name: data set and split.
        videos: folder with the videos.
    """

    def __init__(self, name: str, videos: str):
        self.found, self._files = item_sets.Collector(name), clip_files.ClipFiles(videos)
        self._clips: dict[str, tuple[str, dict[str, texts.Question]]] = {}

    def add(self, clip: str, stem: str, question: texts.Question, where: str) -> None:
        """Add a question; one without a word or without an answer, or of a key that occurred, is left out.

        Args:
            clip: key of the clip.
            stem: name of its video, see `clip_files.ClipFiles.fields`.
            question: the question; blanks of its texts are made single.
            where: where it is in the file.
        """
        plain = " ".join(question.text.split())
        answers = tuple(each for each in (" ".join(answer.split()) for answer in question.answers) if each)
        if not plain or not answers:
            self.found.skip("question without words or without an answer", where)
            return
        asked = self._clips.setdefault(clip, (stem, {}))[1]
        if question.key in asked:
            self.found.skip("the question occurs before", f"{where}: {clip[:40]} {question.key[:20]}")
            return
        asked[question.key] = dataclasses.replace(question, text=plain, answers=answers)

    def finish(self, published: int | None = None) -> items.ItemSet:
        """Return the clips.

        Args:
            published: questions that the split has by its publication.
        """
        for clip, (stem, asked) in self._clips.items():
            extra = {texts.QUESTIONS: tuple(asked.values())}
            self.found.add(clip_files.item(self._files, clip, stem, extra=extra), clip)
        every = [each for _, asked in self._clips.values() for each in asked.values()]
        kinds = collections.Counter(each.kind for each in every if each.kind)
        notes: dict[str, Any] = {"questions": len(every)}
        if kinds:
            notes["types"] = ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds))
        if published is not None and len(every) != published:
            notes["size"] = f"{len(every)} questions, {published} published"
        return self.found.finish(notes=notes)
