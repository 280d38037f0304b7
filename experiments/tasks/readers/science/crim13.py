"""CRIM13: bouts of the behaviour of two mice, from text files of the Caltech Behavior Annotator."""

import dataclasses
import pathlib
import re

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.science import frame_windows

HEADER = "Caltech Behavior Annotator"
BACKGROUND = "other"
_STREAM = re.compile(r"S(\d+):.*")
_BOUT = re.compile(r"(\d+)\s+(\d+)\s+(\S+)")


@dataclasses.dataclass(frozen=True)
class Annotation:
    """One annotation file.

    Args:
        names: behaviours in the order of the file.
        frames: label of each frame, counted from 0; None where no bout is.
        faults: what is wrong with its bouts.
    """

    names: tuple[str, ...]
    frames: tuple[str | None, ...]
    faults: tuple[tuple[str, str], ...]


def parse(path: str, stream: int = 1) -> Annotation:
    """Read one stream (annotator) of an annotation file; frames of the file are 1-based and inclusive.

    Raises:
        UserError: it is no such file, or has no such stream.
    """
    rows = list(annotation_files.lines(path))
    if not rows or not rows[0][1].startswith(HEADER):
        raise errors.UserError(f"{path}: expected a file that starts with '{HEADER}', found another")
    names: list[str] = []
    frames: list[str | None] = []
    faults: list[tuple[str, str]] = []
    streams, current, expected = [], 0, 1
    for where, line in rows[1:]:
        start = _STREAM.fullmatch(line)
        if start:
            current = int(start[1][:9])
            streams.append(current)
        elif not streams and not line.startswith(("Configuration file", "---")):
            names.append(line.split()[0])
        elif streams and current == stream and (bout := _BOUT.fullmatch(line)):
            first, last = int(bout[1][:12]), int(bout[2][:12])
            if last > annotation_files.MOST_ROWS or first < 1 or last < first or bout[3] not in names:
                faults.append(("bout with wrong frames or behaviour", where))
                continue
            if first != expected:
                faults.append(("bout that does not follow the one before", where))
            frames += [None] * (last - len(frames))
            frames[first - 1 : last] = [bout[3]] * (last - first + 1)
            expected = last + 1
    if stream not in streams:
        raise errors.UserError(f"{path}: expected a stream S{stream}:, found {streams or 'none'}")
    return Annotation(tuple(names), tuple(frames), tuple(faults))


@dataclasses.dataclass(frozen=True)
class Crim13:
    """Clips of 16 frames around each frame of the movies of one camera; "other" is background.

    Args:
        videos: folder with the movies of one camera, converted from .seq, or with a folder of pictures for
            each, one a frame, which reads much faster.
        annotations: folder with the annotation files; a movie has the name of its file without suffix, or
            that name with `suffix` at its end.
        train, test: text files with one name of an annotation file a line.
        view: "side" or "top", for the name of the score.
        suffix: ending of the names of the movies that annotation files do not have, such as "_side".
        stream: which annotator.
        classes: number of behaviours, with the background.
        length, every: frames of a clip, and step between the labelled frames.
        fps: frames a second of the movies.
    """

    videos: str
    annotations: str
    train: str = ""
    test: str = ""
    view: str = "side"
    suffix: str = ""
    stream: int = 1
    classes: int = 13
    length: int = 16
    every: int = 1
    fps: float = 25.0

    def __post_init__(self) -> None:
        frame_windows.check(self.length, self.every, self.fps)
        if self.view not in ("side", "top"):
            raise errors.UserError(f"crim13: view must be side or top, got {self.view!r}")

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        files = annotation_files.below(self.annotations).values()
        return clip_files.digest((self.train, self.test, *files), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "test"; frames without a bout are left out and counted."""
        del cache
        name = f"crim13 {self.view}/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        below = annotation_files.below(self.annotations).items()
        texts = {name.removesuffix(".txt").rpartition("/")[2]: path for name, path in below}
        names: tuple[str, ...] = ()
        for where, line in annotation_files.lines(path):
            movie = line.removesuffix(".txt").rpartition("/")[2]
            if movie not in texts:
                found.skip("listed movie without annotation file", f"{where}: {movie[:60]}")
                continue
            one = parse(texts[movie], self.stream)
            names = names or item_sets.ordered(sorted(one.names), self.classes, movie, {})
            if set(one.names) != set(names):
                found.skip("movie with other behaviours", f"{movie}: {sorted(set(one.names) ^ set(names))}")
                continue
            for reason, place in one.faults:
                found.skip(reason, f"{movie}, {place}")
            empty = [frame for frame, label in enumerate(one.frames) if label is None]
            for frame in empty:
                found.skip("frame without a bout", f"{movie}, frame {frame + 1}")
            labels = [(names.index(label),) if label is not None else () for label in one.frames]
            frame_windows.add(
                found, files, movie + self.suffix, labels, frames=len(labels), length=self.length,
                every=self.every, fps=self.fps, keep={frame for frame, label in enumerate(labels) if label},
            )  # fmt: skip
        background = names.index(BACKGROUND) if BACKGROUND in names else None
        notes = {
            "clips": frame_windows.rule(self.length, self.every),
            "annotator": f"stream S{self.stream}",
        }
        return found.finish(names, background=background, notes=notes)
