"""Links and paths: inside the root they are read, out of it they are refused, by every input."""

import json
import pathlib

import pytest

from prismlab.core import errors
from prismlab.core.io import file_names
from prismlab.data.corpus.inputs import images, media, table, transcripts

# What the files contain does not matter: nothing is decoded here.
JPEG, GIF = b"a picture", b"a film"
SRT = "00:00:00,000 --> 00:00:04,000\none two three.\n"


def write(path: pathlib.Path, data: bytes | str = "words of a caption") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def media_of(home: media.Input) -> list[media.Medium]:
    return [each for unit in home.units() for each in home.read(unit) if isinstance(each, media.Medium)]


def test_links_out_of_the_root_are_refused_and_links_inside_are_read(tmp_path) -> None:
    write(tmp_path / "secret.jpg", JPEG)
    write(tmp_path / "secret.txt", "a secret")
    root = tmp_path / "root"
    write(root / "sound.jpg", JPEG)
    write(root / "sound.txt")
    (root / "near.jpg").symlink_to(root / "sound.jpg")
    (root / "near.txt").symlink_to("sound.txt")
    (root / "pixels.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "pixels.txt").symlink_to("sound.txt")
    (root / "told.jpg").symlink_to("sound.jpg")
    (root / "told.txt").symlink_to(tmp_path / "secret.txt")
    faults = {each.name: each.cuts[0].fault for each in media_of(images.Images(str(root)))}
    assert {name for name, fault in faults.items() if fault} == {"pixels.jpg", "told.jpg"}
    assert "expected a path below" in faults["told.jpg"]

    frames = tmp_path / "frames"
    write(frames / "a/1.jpg", JPEG)
    write(frames / "a/caption.txt")
    (frames / "b").mkdir()
    (frames / "b/1.jpg").symlink_to(tmp_path / "secret.jpg")
    (frames / "b/caption.txt").symlink_to("../a/caption.txt")
    sound, bad = media_of(images.FrameFolders(str(frames)))
    assert len(sound.read()) == 1
    with pytest.raises(errors.UserError, match="expected a path below"):
        bad.read()
    write(frames / "t.jsonl", json.dumps({"path": "b", "text": "x"}))
    (listed,) = media_of(table.Table(str(frames / "t.jsonl")))
    with pytest.raises(errors.UserError, match="expected a path below"):
        listed.read()

    talks = tmp_path / "talks"
    write(talks / "a.gif", GIF)
    write(tmp_path / "secret.srt", SRT)
    (talks / "a.srt").symlink_to(tmp_path / "secret.srt")
    (talk,) = media_of(transcripts.Transcripts(str(talks)))
    assert "expected a path below" in talk.cuts[0].fault


def test_links_of_a_hub_cache_are_read(tmp_path) -> None:
    repository = tmp_path / "datasets--me--clips"
    write(repository / "blobs/0a1b", JPEG)
    write(repository / "blobs/2c3d")
    write(tmp_path / "datasets--other/blobs/4e5f", JPEG)
    inner = repository / "snapshots/f00/part"
    inner.mkdir(parents=True)
    (inner / "a.jpg").symlink_to("../../../blobs/0a1b")
    (inner / "a.txt").symlink_to("../../../blobs/2c3d")
    (inner / "b.jpg").symlink_to("../../../../datasets--other/blobs/4e5f")
    write(repository / "snapshots/f00/t.jsonl", '{"path": "part/a.jpg", "text": "x"}')
    for root in (inner, inner.parent):
        one, other = media_of(images.Images(str(root)))
        assert (one.read(), one.cuts[0].caption) == ([JPEG], "words of a caption")
        assert "expected a path below" in other.cuts[0].fault
    (listed,) = media_of(table.Table(str(inner.parent / "t.jsonl")))
    assert listed.read() == [JPEG]


def test_absolute_paths_inside_the_root_are_read(tmp_path) -> None:
    root = tmp_path / "root"
    write(root / "a.jpg", JPEG)
    rows = [{"path": str(root / "a.jpg"), "text": "x"}]
    write(root / "t.jsonl", "\n".join(map(json.dumps, rows)))
    (medium,) = media_of(table.Table(str(root / "t.jsonl")))
    assert (medium.read(), medium.cuts[0].fault) == ([JPEG], "")
    assert file_names.inside("memory://a/b", "memory://a/b/c.mp4", "t") == "memory://a/b/c.mp4"
    for name in ("memory://a/bc.mp4", "memory://x/c.mp4", "/a/b/c.mp4", "memory://a/b/../c.mp4"):
        with pytest.raises(errors.UserError, match="expected a path below"):
            file_names.inside("memory://a/b", name, "t")
