"""Fly vs Fly: bouts of behaviours of two flies, from MATLAB files."""

import dataclasses
import io
import pathlib
from typing import Any

import numpy as np
import scipy.io

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import annotation_files, clip_files, item_sets
from prismlab.experiments.tasks.readers.science import frame_windows

# Behaviours with more than 1,000 training frames (Sun et al. 2021); the rest is the background "other".
CLASSES = ("lunge", "wing threat", "tussle", "wing extension", "circle", "copulation", "other")
_MOST_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class FlyVsFly:
    """Clips of 16 frames around each frame; a clip has every behaviour that one of the flies shows in it.

    Frames in which the position of a fly is unknown (NaN) are left out and counted.

    Args:
        videos: folder with the movies (converted from .seq), `movieN.mp4`, or with a folder of pictures each.
        annotations: folder with `movieN/movieN_actions.mat` and `movieN/movieN_track.mat`.
        train, test: text files with one name of a movie a line (the split is by movie).
        length, every: frames of a clip, and step between the labelled frames.
        fps: frames a second of the movies.
    """

    videos: str
    annotations: str
    train: str = ""
    test: str = ""
    length: int = 16
    every: int = 1
    fps: float = 30.0

    def __post_init__(self) -> None:
        frame_windows.check(self.length, self.every, self.fps)

    def content_digest(self, cache: pathlib.Path) -> str:
        """Return a digest of the annotations and of the videos that are there."""
        del cache
        files = [path for name, path in annotation_files.below(self.annotations).items() if _is_mat(name)]
        return clip_files.digest((self.train, self.test, *files), self.videos)

    def read(self, split: str, cache: pathlib.Path) -> items.ItemSet:
        """Return the clips of "train" or "test"."""
        del cache
        name = f"fly vs fly/{split}"
        path = item_sets.file_of(self, split, name)
        found, files = item_sets.Collector(name), clip_files.ClipFiles(self.videos)
        below = annotation_files.below(self.annotations).items()
        known = {name.rpartition("/")[2]: path for name, path in below if _is_mat(name)}
        for where, movie in annotation_files.lines(path):
            pair = [f"{movie}_{kind}.mat" for kind in ("actions", "track")]
            if any(each not in known for each in pair):
                found.skip("listed movie without its actions and track", f"{where}: {movie[:60]}")
                continue
            actions, track = (matlab(known[each]) for each in pair)
            unknown = ~np.isfinite(_positions(track, movie)).all(axis=(0, 2))
            labels = self._labels(found, actions, movie, len(unknown))
            for frame in np.flatnonzero(unknown).tolist():
                found.skip("frame in which a fly is not tracked", f"{movie}, frame {frame + 1}")
            frame_windows.add(
                found, files, movie, labels, frames=len(unknown), length=self.length, every=self.every,
                fps=self.fps, keep=set(np.flatnonzero(~unknown).tolist()),
            )  # fmt: skip
        notes = {"clips": frame_windows.rule(self.length, self.every)}
        return found.finish(CLASSES, multi_label=True, background=len(CLASSES) - 1, notes=notes)

    def _labels(
        self, found: item_sets.Collector, actions: dict[str, Any], movie: str, frames: int
    ) -> list[tuple[int, ...]]:
        names = [_plain(each) for each in np.asarray(actions.get("behs", [])).ravel()]
        bouts = np.asarray(actions.get("bouts", []))
        if not names or bouts.dtype != object or bouts.shape[1:] != (len(names),):
            raise errors.UserError(
                f"{movie}_actions.mat: expected behs and a cell of bouts [flies, behaviours], found "
                f"{len(names)} behaviours and bouts of shape {bouts.shape}"
            )
        shown = np.zeros((frames, len(CLASSES)), bool)
        for place, name in enumerate(names):
            if name not in CLASSES[:-1]:
                continue
            for fly in range(len(bouts)):
                for start, end in _pairs(bouts[fly, place]):
                    # 1-based and inclusive.
                    if 1 <= start <= end <= frames:
                        shown[int(start) - 1 : int(end), CLASSES.index(name)] = True
                    else:
                        found.skip("bout outside the movie", f"{movie}, {name} {start:g}-{end:g}")
        shown[:, -1] = ~shown.any(axis=1)
        return [tuple(np.flatnonzero(row).tolist()) for row in shown]


def matlab(path: str) -> dict[str, Any]:
    """Return the variables of a MATLAB file (version 5); nothing in it is run.

    Raises:
        UserError: it is damaged, or is of version 7.3 (HDF5).
    """
    data = annotation_files.content(path, _MOST_BYTES)
    if data.startswith(b"MATLAB 7.3"):
        raise errors.UserError(f"{path}: expected MATLAB 5, found 7.3 (HDF5); save it again with save -v7")
    try:
        found: dict[str, Any] = scipy.io.loadmat(io.BytesIO(data))
    except Exception as error:  # scipy raises many kinds on damaged files
        reason = " ".join(str(error).split())[:100]
        raise errors.UserError(f"{path}: expected a MATLAB file, found none ({reason})") from error
    return found


def _positions(track: dict[str, Any], movie: str) -> np.ndarray:
    outer = np.asarray(track.get("trk", []))
    has_data = outer.size == 1 and "data" in (outer.dtype.names or ())
    data = np.asarray(outer.ravel()[0]["data"] if has_data else [])
    if data.ndim != 3 or data.dtype.kind != "f" or not data.shape[1] < annotation_files.MOST_ROWS:
        raise errors.UserError(
            f"{movie}_track.mat: expected trk.data of shape [flies, frames, values], found {data.shape}"
        )
    return data


def _pairs(cell: Any) -> list[tuple[float, float]]:
    values = np.asarray(cell)
    if values.dtype.kind not in "iuf" or values.size % 2:
        return []
    return [(float(start), float(end)) for start, end in values.reshape(-1, 2)]


def _plain(name: Any) -> str:
    text = np.asarray(name).ravel()
    return str(text[0] if text.size else "").replace("_", " ").strip().lower()


def _is_mat(name: str) -> bool:
    return name.endswith(("_actions.mat", "_track.mat"))
