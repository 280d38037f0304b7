"""The one atomic writer of local files: whole or not at all, and killed processes leave nothing for long."""

import fcntl
import pathlib
import shutil
import subprocess
import sys

import pytest

from prismlab.core import errors
from prismlab.core.io import filesystem, temporary_files

KILLED = """
import os, pathlib, sys
from prismlab.core.io import filesystem, temporary_files
with temporary_files.replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os._exit(9)
"""


def test_a_failed_block_leaves_the_file_and_nothing_else(tmp_path) -> None:
    target = tmp_path / "folder/file"
    filesystem.write_atomic(target, b"old")

    def fail(temporary: pathlib.Path) -> None:
        temporary.write_bytes(b"new")
        raise KeyError

    with pytest.raises(KeyError), temporary_files.replacing(target) as temporary:
        fail(temporary)
    with temporary_files.replacing(target) as temporary:
        temporary.unlink()  # nothing to write
    assert [path.read_bytes() for path in target.parent.iterdir()] == [b"old"]


def test_permissions_are_those_of_a_new_file(tmp_path) -> None:
    filesystem.write_atomic(tmp_path / "atomic", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_stays(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "file")], check=False, timeout=60)
    assert done.returncode == 9
    (left,) = tmp_path.iterdir()
    (tmp_path / ".link.tmp").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("precious")
    with temporary_files.replacing(tmp_path / "other") as live:
        temporary_files.remove_unfinished(tmp_path)
        assert live.exists()
        assert not left.exists()
        assert (tmp_path / "victim").exists()
    temporary_files.remove_unfinished(tmp_path / "nowhere")


def test_a_file_taken_for_unfinished_at_once_is_made_again(tmp_path, monkeypatch) -> None:
    real, calls = fcntl.flock, []

    def first_is_deleted(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            temporary_files.remove_unfinished(tmp_path)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", first_is_deleted)
    with temporary_files.replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_folder_deleted_meanwhile_is_one_line(tmp_path) -> None:
    with (
        pytest.raises(errors.UserError, match="its folder was deleted meanwhile; run again"),
        temporary_files.replacing(tmp_path / "folder/file"),
    ):
        shutil.rmtree(tmp_path / "folder")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: pathlib.Path, monkeypatch) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(30, "Read-only file system", str(tmp_path))

    monkeypatch.setattr(temporary_files.tempfile, "mkstemp", refused)
    with pytest.raises(errors.UserError, match="Read-only file system; choose another path"):
        filesystem.write_atomic(tmp_path / "file", b"")


def test_files_written_together_are_on_disk_before_the_first_is_renamed(tmp_path, monkeypatch) -> None:
    files = {tmp_path / name: name.encode() for name in "abc"}
    filesystem.write_atomic(tmp_path / "a", b"old")
    seen = []
    monkeypatch.setattr(temporary_files.os, "sync", lambda: seen.append((tmp_path / "a").read_bytes()))
    temporary_files.write_together(files)
    assert seen == [b"old"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_of_files_written_together_a_failure_leaves_the_old_ones(tmp_path, monkeypatch) -> None:
    filesystem.write_atomic(tmp_path / "a", b"old")
    monkeypatch.setattr(pathlib.Path, "write_bytes", lambda path, data: (path / "none").stat())
    with pytest.raises(errors.UserError, match="a: "):
        temporary_files.write_together({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
