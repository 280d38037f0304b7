"""A rendered folder is complete, can be continued after an interruption, and reads back as its world."""

import json
import pathlib

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.video import decode, folder
from prismlab.data.world import render, sprites, truth, world

WORLD = world.World(clips=5, resolution=16, motion_captions=0.5)


def _content(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_folder_reads_back_as_its_world(tmp_path: pathlib.Path) -> None:
    seen = []
    render.render(WORLD, tmp_path, workers=0, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
    made = list(folder.read_folder(tmp_path, min_frames=8))
    assert [one.key for one in made] == [f"videos/{i:06d}.mp4" for i in range(5)]
    for index, one in enumerate(made):
        assert one.caption == WORLD.caption(index)
        assert (one.start, one.end) == (0.0, 1.0)
        assert one.labels == json.loads(json.dumps(WORLD.truth(index).labels()))
        error = np.abs(decode.decode(one.video).astype(int) - WORLD.video(index)).mean()
        assert error < 15


def test_processes_and_continuation_give_the_same_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_CLIPS_A_TASK", 2)
    render.render(WORLD, tmp_path / "one", workers=0)
    render.render(WORLD, tmp_path / "two", workers=2)
    assert _content(tmp_path / "one") == _content(tmp_path / "two")
    # As after an interruption: some videos, half of a file, no captions.
    kept = tmp_path / "two" / "videos" / "000001.mp4"
    written = kept.stat().st_mtime_ns
    (tmp_path / "two" / "captions.jsonl").unlink()
    (tmp_path / "two" / "videos" / "000003.mp4").rename(tmp_path / "two" / "videos" / ".000003.mp4.x.tmp")
    render.render(WORLD, tmp_path / "two", workers=0)
    assert kept.stat().st_mtime_ns == written
    assert _content(tmp_path / "one") == _content(tmp_path / "two")


def test_another_world_is_refused(tmp_path: pathlib.Path) -> None:
    render.render(WORLD, tmp_path, workers=0)
    with pytest.raises(errors.UserError, match="differs in seed"):
        render.render(world.World(clips=5, resolution=16, motion_captions=0.5, seed=1), tmp_path, workers=0)


def test_a_folder_of_other_videos_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"x")
    with pytest.raises(errors.UserError, match="other videos"):
        render.render(WORLD, tmp_path, workers=0)


def test_every_species_has_a_shape_and_every_colour_a_value():
    assert set(sprites._DISTANCE) == set(truth.SPECIES)
    assert set(sprites.RGB) == set(truth.COLOURS)
