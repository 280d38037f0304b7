"""KABR: the behaviour of zebras and giraffes in every frame of drone footage, in the layout of SlowFast."""

import dataclasses
import pathlib

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.science import frame_windows

# The order of the release. The newer Hugging Face feature `behavior` is alphabetical: other indices.
CLASSES = ("Walk", "Graze", "Browse", "Head Up", "Auto-Groom", "Trot", "Run", "Occluded")
# The header has this spelling.
_COLUMNS = ("original_vido_id", "frame_id", "path", "labels")


@dataclasses.dataclass(frozen=True)
class Kabr:
    """Clips of one animal, cut from mini-scenes of at least 90 frames; labels are per frame.

    Args:
        videos: folder with a folder of pictures for each mini-scene (`Z0001.1/1.jpg`), or with `Z0001.1.mp4`.
        class_file: classes.json, {name: index}; its order must be that of the release.
        train, val: train.csv, val.csv, separated by spaces. There is no test file.
        length, every: frames of the clip around a labelled frame (the paper: 16 of stride 5), and step
            between labelled frames.
        fps: frames a second of the videos.
    """

    videos: str
    class_file: str
    train: str = ""
    val: str = ""
    length: int = 80
    every: int = 80
    fps: float = 30.0

    def __post_init__(self) -> None:
        frame_windows.check(self.length, self.every, self.fps)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        return clip_files.digest((self.class_file, self.train, self.val), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "val"."""
        del cache
        name = f"kabr/{split}"
        path = item_sets.file_of(self, split, name)
        self._check_classes()
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        scenes: dict[str, dict[int, tuple[int, ...]]] = {}
        for where, row in annotation_files.table(path, _COLUMNS, "labels of KABR", separator=" "):
            if isinstance(row, str):
                found.skip(row, where)
                continue
            frame, label = annotation_files.whole(row["frame_id"]), annotation_files.whole(row["labels"])
            scene = row["original_vido_id"].strip()
            if label is None or label >= len(CLASSES):
                found.skip("label that is no class", f"{where}: {row['labels'][:20]!r}")
            elif frame is None or not 1 <= frame <= clip_files.MOST_PICTURES or not scene:
                found.skip("frame number that is none (the first is 1)", where)
            else:
                scenes.setdefault(scene, {})[frame - 1] = (label,)
        for scene, labels in scenes.items():
            frame_windows.add(
                found, files, scene, labels, frames=max(labels) + 1, length=self.length, every=self.every,
                fps=self.fps, keep=labels,
            )  # fmt: skip
        notes = {"clips": frame_windows.rule(self.length, self.every)}
        return found.finish(CLASSES, notes=notes)

    def _check_classes(self) -> None:
        given = annotation_files.json_of(self.class_file, dict, "classes.json of KABR")
        expected = {name: index for index, name in enumerate(CLASSES)}
        if given == expected:
            return
        alphabetical = {name: index for index, name in enumerate(sorted(CLASSES))}
        what = "the alphabetical order of the Hugging Face feature" if given == alphabetical else "others"
        raise errors.UserError(
            f"{self.class_file}: expected the classes {', '.join(f'{n} {i}' for n, i in expected.items())}; "
            f"found {what}; labels of train.csv and val.csv would mean other behaviours: give the file of "
            "the release"
        )
