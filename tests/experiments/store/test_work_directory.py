"""The cache of a user without a home directory, and one that is read-only."""

import os
import pathlib

import pytest

from prismlab.core import errors
from prismlab.core.io import locks, temporary_files
from prismlab.data.loader import source
from prismlab.data.world import world
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.store import work_directory


def test_a_user_without_home_is_told_of_the_cache(tmp_path, monkeypatch) -> None:
    for name in ("PRISMLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert work_directory.default_cache() == tmp_path / ".cache/prismlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert work_directory.default_cache() == tmp_path / "cache/prismlab"
    monkeypatch.setenv("PRISMLAB_CACHE", "~/own")
    assert work_directory.default_cache() == tmp_path / "own"
    monkeypatch.setattr(os.path, "expanduser", lambda text: text)  # neither HOME nor a line of passwd
    for name in ("PRISMLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UserError, match="set PRISMLAB_CACHE to a local or mounted directory"):
        work_directory.default_cache()
    monkeypatch.setenv("PRISMLAB_CACHE", "gs://bucket/cache")
    with pytest.raises(errors.UserError, match=r"got a URL.*set PRISMLAB_CACHE"):
        work_directory.default_cache()


def test_a_finished_cache_is_read_without_its_lock_file(tmp_path: pathlib.Path, monkeypatch) -> None:
    rendered = source.Rendered(world.World(clips=1, seed=3), workers=0)
    assert len(rendered.open(tmp_path)) == 1
    own = tmp_path / "own"
    own.mkdir()
    videos = next(tmp_path.glob("world-*"))
    folder = source.Folder(str(videos))
    assert len(folder.open(tmp_path)) == 1

    def refused(path: pathlib.Path, busy: str | None = None) -> None:
        raise errors.UserError(f"{path}: read-only")

    monkeypatch.setattr(locks, "held", refused)
    assert len(rendered.open(tmp_path)) == len(folder.open(tmp_path)) == 1
    with pytest.raises(errors.UserError, match="read-only"):
        rendered.open(own)


def test_temporary_files_of_killed_runs_are_removed_at_the_next_start(tmp_path: pathlib.Path) -> None:
    folders = [tmp_path, tmp_path / "scores", tmp_path / "stages/a"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".x.json.killed.tmp").touch()
    loaded = strict.load("smoke.gin")
    with temporary_files.replacing(tmp_path / "scores/y.json") as live:
        with work_directory.claimed(tmp_path, loaded.root, loaded.text):
            assert live.exists()  # of a worker that runs
        assert [path for folder in folders for path in folder.glob(".*.tmp")] == [live]
