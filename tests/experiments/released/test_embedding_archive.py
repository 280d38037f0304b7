"""An archive of somebody else is read only if it is one; each odd file is one line."""

import pathlib
from typing import Any

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.released import embedding_archive, search_html


def sound(windows: int = 2) -> dict[str, Any]:
    return {
        "vectors": np.ones((windows, 4), np.float32), "path": np.array(["a.mp4", "b.mp4"][:windows]),
        "start": np.zeros(windows), "end": np.ones(windows), "frames": np.ones(windows, np.int64),
        "frame_times": np.zeros((windows, 3)), "thumbnails": np.zeros((windows, 96, 96, 3), np.uint8),
        "failed_path": np.array([], np.str_), "failed_reason": np.array([], np.str_),
        "model": np.array("m"), "weights_sha256": np.array("0" * 64), "vector": np.array("v"),
    }  # fmt: skip


def written(target: pathlib.Path, **changes: Any) -> pathlib.Path:
    arrays = {name: value for name, value in (sound() | changes).items() if value is not None}
    np.savez(target, **{name: np.asarray(value) for name, value in arrays.items()})
    return target


def test_a_sound_archive(tmp_path) -> None:
    found = embedding_archive.read(written(tmp_path / "e.npz", vectors=np.ones((2, 4), np.float16)))
    assert (found.path, found.model, found.failed_path) == (["a.mp4", "b.mp4"], "m", [])
    assert "a.mp4" in search_html.page(found, {"q": [(0, 0.5)]})


ODD = {
    "no vectors": {"vectors": None},
    "an object": {"vectors": np.array([{}, {}], object)},
    "integers": {"vectors": np.ones((2, 4), np.int8)},
    "complex": {"vectors": np.ones((2, 4), np.complex64)},
    "NaN": {"vectors": np.full((2, 4), np.nan)},
    "infinity": {"vectors": np.full((2, 4), np.inf, np.float32)},
    "a vector": {"vectors": np.ones(4)},
    "too few rows": {"vectors": np.ones((1, 4))},
    "empty vectors": {"vectors": np.ones((2, 0))},
    "no rows": {name: sound()[name][:0] for name in ("vectors", "path", "start", "end", "frames",
                                                      "frame_times", "thumbnails")},
    "a scalar path": {"path": np.array("a.mp4")},
    "paths in a table": {"path": np.array([["a"], ["b"]])},
    "bytes as path": {"path": np.array([b"a", b"b"])},
    "numbers as path": {"path": np.arange(2)},
    "models": {"model": np.array(["m"])},
    "a number as model": {"model": np.array(3)},
    "a date": {"start": np.array(["2024", "2025"], "datetime64[Y]")},
    "NaN start": {"start": np.array([np.nan, 0])},
    "negative start": {"start": np.array([-1.0, 0])},
    "late end": {"end": np.array([1e300, 1])},
    "end before start": {"start": np.array([5.0, 0])},
    "frames as text": {"frames": np.array(["1", "2"])},
    "times in a row": {"frame_times": np.zeros(2)},
    "grey thumbnails": {"thumbnails": np.zeros((2, 96, 96), np.uint8)},
    "thumbnails of four channels": {"thumbnails": np.zeros((2, 96, 96, 4), np.uint8)},
    "no thumbnails": {"thumbnails": np.zeros((2, 0, 96, 3), np.uint8)},
    "wide thumbnails": {"thumbnails": np.zeros((2, 96, 96, 3), np.uint64)},
    "a failed path without a reason": {"failed_path": np.array(["x"])},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_each_odd_file_is_one_line(tmp_path, odd) -> None:
    path = written(tmp_path / "e.npz", **ODD[odd])
    with pytest.raises(
        errors.UserError, match=r"e\.npz: (not an archive of prismlab embed|every video)"
    ) as caught:
        embedding_archive.read(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_one_line(tmp_path) -> None:
    path = tmp_path / "e.npz"
    whole = written(path).read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    for content in ((tmp_path / "one.npy").read_bytes(), b"", b"text", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(errors.UserError, match=r"e\.npz: not an archive of prismlab embed"):
            embedding_archive.read(path)
    np.savez_compressed(path, **sound() | {"vectors": np.zeros((2, 1 << 24))})
    with pytest.raises(errors.UserError, match="at most 50 times"):
        embedding_archive.read(path)
