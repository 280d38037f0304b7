"""Words to video files: paths, folders and patterns mean the same files."""

import os

import pytest

from prismlab.data.video import listing


def _folder(tmp_path):
    for name in ("b.mp4", "a.MKV", "notes.txt", "in/c.webm", "odd [1].mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_path_folder_and_pattern_mean_the_same(tmp_path):
    home = _folder(tmp_path)
    wanted = [home / name for name in ("a.MKV", "b.mp4", "in/c.webm", "odd [1].mp4")]
    assert listing.find([str(home)]) == (wanted, [])
    assert listing.find(list(map(str, wanted))) == (wanted, [])
    assert set(listing.find([f"{home}/*.m*", f"{home}/**/*.[MmWw]*"])[0]) == set(wanted)


def test_a_file_comes_once_whatever_it_is_called(tmp_path):
    home = _folder(tmp_path)
    os.symlink(home / "b.mp4", home / "z.mp4")
    found, nothing = listing.find([str(home / "b.mp4"), str(home), f"{home}/b.*"])
    assert [path.name for path in found] == ["b.mp4", "a.MKV", "c.webm", "odd [1].mp4"]
    assert not nothing


def test_a_named_file_needs_no_suffix(tmp_path):
    (tmp_path / "clip").write_bytes(b"x")
    assert listing.find([str(tmp_path / "clip")])[0] == [tmp_path / "clip"]


def test_every_word_that_gives_nothing_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    words = [str(tmp_path / "empty"), str(tmp_path / "none.mp4"), str(tmp_path / "*.mp4")]
    found, nothing = listing.find(words)
    assert not found
    assert [word for word, _ in nothing] == words
    for part, (_, reason) in zip(("contains no video", "no such file", "matches no file"), nothing):
        assert part in reason


@pytest.mark.parametrize("word", ["a" * 300, "b/" * 3000, "nul\0byte", "a" * 300 + "*"])
def test_a_word_that_no_file_can_be_called_is_told(word):
    files, nothing = listing.find([word])
    assert files == []
    assert [name for name, _ in nothing] == [word]


def test_endings_of_cameras_and_broadcasts_are_known(tmp_path):
    endings = (".mts", ".m2ts", ".3gp", ".y4m", ".vob", ".mxf", ".M2V")
    for ending in endings:
        (tmp_path / f"a{ending}").write_bytes(b"x")
    assert len(listing.find([str(tmp_path)])[0]) == len(endings)
