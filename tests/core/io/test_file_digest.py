"""Hashes of files are remembered, and never for other bytes."""

import hashlib
import os

import pytest

from prismlab.core import errors
from prismlab.core.io import file_digest


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def age(path, seconds: float = 100.0) -> None:
    """Let a file look settled; its change time cannot be set, so `_SETTLED` is lowered by the tests."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns - int(seconds * 1e9)))


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path):
    folder, cache = tmp_path / "f", tmp_path / "cache"
    folder.mkdir()
    (folder / "a").write_bytes(b"one")
    age(folder / "a")
    before = (folder / "a").stat()
    assert file_digest.sha256_of(folder, ["a"], cache) == {"a": sha(b"one")}
    (folder / "a").write_bytes(b"two")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    assert file_digest.sha256_of(folder, ["a"], cache) == {"a": sha(b"two")}


def test_settled_files_are_read_once(tmp_path, monkeypatch):
    folder, cache = tmp_path / "f", tmp_path / "cache"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(file_digest, "_SETTLED", -1.0)
    wanted = {"a": sha(b"a"), "b": sha(b"b")}
    assert file_digest.sha256_of(folder, ["b", "a"], cache) == wanted
    with monkeypatch.context() as unread:
        unread.setattr(file_digest, "sha256", lambda path: pytest.fail(f"read {path}"))
        assert file_digest.sha256_of(folder, ["a", "b"], cache) == wanted
    (memory,) = cache.glob("hashes-*.json")
    memory.write_text("{")  # damaged: read again
    assert file_digest.sha256_of(folder, ["a", "b"], cache) == wanted


def test_files_just_written_are_not_remembered(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    file_digest.sha256_of(tmp_path, ["a"], tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(errors.UserError, match="none: cannot be read"):
        file_digest.sha256_of(tmp_path, ["none"], None)
