"""CalMS21 task 1: the behaviour of two mice in every frame, from the JSON files."""

import dataclasses
import pathlib
import re

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.science import frame_windows

CLASSES = ("attack", "investigation", "mount", "other")
# The largest annotation file holds the poses of all frames as text.
_MOST_BYTES = 4 << 30
# Clips of every frame, as SciVid counts them.
PUBLISHED = {"train": 430_592, "val": 76_585, "test": 262_107}
_NUMBER = re.compile(r"mouse(\d+)")


@dataclasses.dataclass(frozen=True)
class CalMs21:
    """Clips of 16 frames around each frame of the movies, with one of four labels; "other" is background.

    Args:
        videos: folder with the movies (`mouse001_task1_annotator1.mp4`) or with a folder of pictures of
            each, one a frame, which reads much faster.
        train, test: calms21_task1_train.json, calms21_task1_test.json. The .npy files are refused: reading
            them runs code.
        validation: first and last number of the training mice that are the split "val" (SciVid's choice).
        length, every: frames of a clip, and step between the labelled frames (1: all; SciVid's slim set: 16).
        fps: frames a second of the movies.
        binary: a sigmoid for each class, as SciVid and the paper's demo; False for one softmax.
    """

    videos: str
    train: str = ""
    test: str = ""
    validation: tuple[int, int] = (63, 70)
    length: int = 16
    every: int = 1
    fps: float = 30.0
    binary: bool = True

    def __post_init__(self) -> None:
        frame_windows.check(self.length, self.every, self.fps)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.train, self.test), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" (without the mice of "val"), "val" or "test"."""
        del cache
        name = f"calms21 task 1/{split}"
        path = item_sets.file_of(self, "train" if split == "val" else split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        groups = annotation_files.json_of(path, dict, "sequences of CalMS21", limit=_MOST_BYTES)
        for group in groups.values():
            for key, one in (group if isinstance(group, dict) else {}).items():
                video = key.rpartition("/")[2]
                number = _NUMBER.search(video)
                if "task1" not in key or number is None:
                    found.skip("sequence of another task", key[:60])
                    continue
                held_out = self.validation[0] <= int(number[1]) <= self.validation[1]
                if split != "test" and held_out != (split == "val"):
                    continue
                self._add(found, files, video, key, one)
        notes = {"clips": frame_windows.rule(self.length, self.every)}
        published = PUBLISHED.get(split) if self.every == 1 else None
        return found.finish(
            CLASSES, published=published, multi_label=self.binary, background=3, notes=notes
        )  # fmt: skip

    def _add(
        self, found: item_sets.Collector, files: clip_files.ClipFiles, video: str, key: str, one: object
    ) -> None:
        values = one.get("annotations") if isinstance(one, dict) else None
        if not isinstance(values, list) or not values:
            found.skip("sequence without annotations", key[:60])
            return
        metadata = one.get("metadata") if isinstance(one, dict) else None
        words = metadata.get("vocab") if isinstance(metadata, dict) else None
        expected = {word: index for index, word in enumerate(CLASSES)}
        if words is not None and words != expected:
            raise errors.UserError(
                f"{found.name}, {key[:60]}: expected the classes {expected}, found {str(words)[:120]}; is "
                "this the file of another task?"
            )
        known = range(len(CLASSES))
        wrong = [frame for frame, value in enumerate(values) if type(value) is not int or value not in known]
        for frame in wrong:
            found.skip("frame whose label is no class", f"{key[:60]}, frame {frame}")
        bad = set(wrong)
        frame_windows.add(
            found, files, video, [() if frame in bad else (value,) for frame, value in enumerate(values)],
            frames=len(values), length=self.length, every=self.every, fps=self.fps,
            keep=set(range(len(values))) - bad,
        )  # fmt: skip
