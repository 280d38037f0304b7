"""Fly vs Fly: 1-based bouts of two flies, untracked frames, background, damaged MATLAB files."""

import numpy as np
import pytest
import scipy.io

from prismlab.core import errors
from prismlab.experiments.tasks.readers.science import fly_vs_fly
from tests.experiments.tasks.readers import written


def cell(rows):
    found = np.empty((len(rows), len(rows[0])), dtype=object)
    for place, value in np.ndenumerate(found):
        del value
        found[place] = np.asarray(rows[place[0]][place[1]], float).reshape(-1, 2)
    return found


def movie(tmp_path, bouts, names=("lunge", "wing_ext", "wing extension"), frames=6):
    folder = tmp_path / "annotations" / "movie1"
    folder.mkdir(parents=True, exist_ok=True)
    behs = np.empty((1, len(names)), dtype=object)
    behs[0] = names
    scipy.io.savemat(folder / "movie1_actions.mat", {"behs": behs, "bouts": cell(bouts)})
    data = np.zeros((2, frames, 3))
    data[1, 4, 2] = np.nan
    scipy.io.savemat(folder / "movie1_track.mat", {"trk": {"data": data, "names": "x", "flag_frames": 1.0}})
    names = written.text(tmp_path, "test.txt", "movie1\nmovie2\n")
    root = written.videos(tmp_path, "movie1.mp4")
    return fly_vs_fly.FlyVsFly(root, str(tmp_path / "annotations"), test=names, length=2)


def test_a_frame_has_what_one_of_the_flies_does(tmp_path):
    found = movie(tmp_path, [[[1, 2], [], [2, 3]], [[6, 6, 5, 9], [1, 6], []]]).read("test", tmp_path)
    lunge, extension, other = 0, 3, 6
    assert found.classes[lunge] == "lunge"
    assert found.classes[extension] == "wing extension"
    assert found.background == other
    # [1, 2] are the frames 0 and 1; frame 4 is not tracked.
    assert [(item.extra["frame"], item.labels) for item in found.items] == [
        (0, (lunge,)), (1, (lunge, extension)), (2, (extension,)), (3, (other,)), (5, (lunge,)),
    ]  # fmt: skip
    for part in (
        "1 x bout outside the movie (first: movie1, lunge 5-9)",
        "1 x frame in which a fly is not tracked (first: movie1, frame 5)",
        "1 x listed movie without its actions and track (first: line 2: movie2)",
    ):
        assert part in found.notes["rows left out"]
    assert found.notes["classes that never occur"].startswith("4: wing threat")


def test_one_fly_and_one_behaviour_keep_their_places(tmp_path):
    found = movie(tmp_path, [[[]], [[2, 2]]], names=("lunge",)).read("test", tmp_path)
    assert [item.labels for item in found.items] == [(6,), (0,), (6,), (6,), (6,)]


def test_damaged_files_are_refused(tmp_path):
    reader = movie(tmp_path, [[[], []], [[], []]])
    with pytest.raises(errors.UserError, match=r"expected behs and a cell of bouts.*found 3 behaviours"):
        reader.read("test", tmp_path)
    path = tmp_path / "annotations" / "movie1" / "movie1_actions.mat"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(errors.UserError, match="expected a MATLAB file, found none"):
        reader.read("test", tmp_path)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    with pytest.raises(errors.UserError, match=r"found 7\.3 \(HDF5\); save it again"):
        reader.read("test", tmp_path)
