"""Embedding archive: the .npz file that `prismlab embed` writes and `prismlab search` reads, without pickle.

vectors       float32 [w, d]        one row per window (the whole video without a stride)
path          text [w]              path of the video
start, end    float64 [w]           the window, in seconds on the clock of the video
frames        int64 [w]             number of frames of the video in the window
frame_times   float64 [w, t]        presentation times of the sampled frames, in seconds
thumbnails    uint8 [w, 96, 96, 3]  the middle sampled frame, RGB
failed_path, failed_reason  text [f]  files that could not be embedded, and the reason
model, weights_sha256, vector       text: model, digest of its weights, kind of vector
tokens/000000 float32 [t * n, d]    optional: token features of window 0, 1, ...
"""

import contextlib
import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, npz_files
from prismlab.data.video import windows

THUMBNAIL = 96
# Name -> number of axes; those of one row per window, and the texts beside them.
_ROWS = {"vectors": 2, "path": 1, "start": 1, "end": 1, "frames": 1, "frame_times": 2, "thumbnails": 4}
_BESIDE = {"failed_path": 1, "failed_reason": 1, "model": 0, "weights_sha256": 0, "vector": 0}
# Kinds of numpy's types that each may have; float16 to float64 for the numbers.
_KINDS = {
    **dict.fromkeys(("path", *_BESIDE), "U"),
    **{"vectors": "f", "start": "f", "end": "f", "frame_times": "f", "frames": "iu", "thumbnails": "u"},
}
_LATEST = 1e7  # seconds


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Contents of an embedding archive without token features; fields as in the module docstring."""

    vectors: np.ndarray
    path: list[str]
    start: np.ndarray
    end: np.ndarray
    frames: np.ndarray
    frame_times: np.ndarray
    thumbnails: np.ndarray
    failed_path: list[str]
    failed_reason: list[str]
    model: str
    weights_sha256: str
    vector: str


class Writer:
    """Collects windows and writes the archive; token features are written immediately.

    Args:
        archive: an open zip file.
    """

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._rows: list[dict[str, Any]] = []
        self._failed: list[tuple[str, str]] = []

    @property
    def rows(self) -> int:
        """Number of windows added."""
        return len(self._rows)

    def add(
        self,
        path: pathlib.Path,
        window: windows.Window,
        clip: np.ndarray,
        vector: np.ndarray,
        tokens: np.ndarray | None,
    ) -> None:
        """Add one window.

        Args:
            path: the video.
            window: the part of the video.
            clip: uint8 [t, r, r, 3], the sampled frames.
            vector: float [d].
            tokens: float [s, d], or None.
        """
        if tokens is not None:
            self._write(f"tokens/{len(self._rows):06d}", np.asarray(tokens, np.float32))
        middle = Image.fromarray(clip[len(clip) // 2])
        small = middle.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        self._rows.append(
            {
                "vectors": np.asarray(vector, np.float32), "path": file_names.readable(os.fspath(path)),
                "start": window.start, "end": window.end, "frames": window.frames,
                "frame_times": window.times, "thumbnails": np.asarray(small),
            }
        )  # fmt: skip

    def fail(self, path: str | pathlib.Path, reason: str) -> None:
        """Record a file that could not be embedded."""
        self._failed.append((file_names.readable(os.fspath(path)), reason))

    def finish(self, **about: str) -> None:
        """Write all arrays except the token features, and the text entries in `about`."""
        for name in self._rows[0] if self._rows else ():
            self._write(name, np.stack([row[name] for row in self._rows]))
        self._write("failed_path", np.array([path for path, _ in self._failed], dtype=np.str_))
        self._write("failed_reason", np.array([reason for _, reason in self._failed], dtype=np.str_))
        for name, text in about.items():
            self._write(name, np.array(text, dtype=np.str_))

    def _write(self, name: str, array: np.ndarray) -> None:
        # The default ZipInfo date keeps equal runs byte-identical.
        entry = zipfile.ZipInfo(f"{name}.npy")
        with self._archive.open(entry, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[Writer]:
    """Write an embedding archive atomically.

    Args:
        path: final path; an existing file is replaced if the block succeeds.

    Raises:
        UserError: the disk is full.
    """
    with (
        filesystem.atomic_file(path) as temporary,
        temporary.open("wb") as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        yield Writer(archive)


def read(path: pathlib.Path) -> Embeddings:
    """Read an embedding archive.

    Args:
        path: a file written by `prismlab embed`.

    Raises:
        UserError: the file is missing, damaged or has a different format, or every video in it failed.
    """
    if not path.is_file():
        raise errors.UserError(
            f"embeddings {path}: no such file; create it with prismlab embed ... --out {path}"
        )
    try:
        archive = npz_files.Npz(path)
        if "model" in archive.names and "vectors" not in archive.names:
            raise errors.UserError(
                f"embeddings {path}: every video failed to embed; run prismlab embed again"
            )
        for name, axes in {**_ROWS, **_BESIDE}.items():
            header = archive.header(name)
            if len(header.shape) != axes or header.dtype.kind not in _KINDS[name]:
                raise npz_files.Invalid(
                    f"expected {name} with {axes} axes and a type of kind {_KINDS[name]!r}, "
                    f"got {header.dtype} of shape {header.shape}"
                )
        arrays = archive.read([*_ROWS, *_BESIDE])
        _check(arrays)
    except npz_files.Invalid as error:
        raise errors.UserError(f"embeddings {path}: not an archive of prismlab embed ({error})") from error
    texts = {name: arrays[name].tolist() for name, kind in _KINDS.items() if kind == "U"}
    return Embeddings(**{**arrays, **texts})


def _check(arrays: dict[str, np.ndarray]) -> None:
    """Check the values of the arrays together.

    Raises:
        npz_files.Invalid: they are not those of an archive.
    """
    rows = {name: len(arrays[name]) for name in _ROWS}
    if len(set(rows.values())) > 1 or not rows["path"] or not arrays["vectors"].size:
        raise npz_files.Invalid(f"expected one row per window in each array, got {rows}")
    if len(arrays["failed_path"]) != len(arrays["failed_reason"]):
        raise npz_files.Invalid("expected one reason per failed path")
    thumbnails = arrays["thumbnails"]
    if thumbnails.shape[3] != 3 or not thumbnails.size or thumbnails.itemsize > 1:
        raise npz_files.Invalid(f"expected thumbnails of RGB bytes, got shape {thumbnails.shape}")
    for name in ("vectors", "start", "end", "frame_times"):
        if not np.isfinite(arrays[name]).all():
            raise npz_files.Invalid(f"expected finite numbers in {name}, got NaN or infinity")
    if not ((arrays["start"] >= 0) & (arrays["end"] <= _LATEST) & (arrays["start"] <= arrays["end"])).all():
        raise npz_files.Invalid("expected windows that end after their start, got others")
