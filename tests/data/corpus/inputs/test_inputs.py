"""What holds for all inputs: names, links, hostile rows, and a count of what is passed over."""

import collections
import errno
import io
import json
import os
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.corpus import clip_encoding, doctor, prepare_corpus
from prismlab.data.corpus.inputs import images, media, table, tars, transcripts
from prismlab.data.records import shards

JPEG = clip_encoding.jpeg(np.full((24, 32, 3), 90, np.uint8), 90)
SRT = "00:00:00,000 --> 00:00:04,000\none two three.\n"
BAD = os.fsdecode(b"caf\xe9")


def write(path: pathlib.Path, data: bytes | str = "words of a caption") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def media_of(home: media.Input) -> list[media.Medium]:
    return [each for unit in home.units() for each in home.read(unit) if isinstance(each, media.Medium)]


def passed_over(home: media.Input) -> dict[str, int]:
    found = [*home.passed_over(), *(each for unit in home.units() for each in home.read(unit))]
    return dict(collections.Counter(each.why for each in found if isinstance(each, media.PassedOver)))


def prepared(home: media.Input, out: pathlib.Path, max_rejected: float = 0.0):
    spec = prepare_corpus.Corpus(home, clip_encoding.Jpeg(16), max_rejected=max_rejected)
    manifest = prepare_corpus.prepare(spec, str(out))
    assert manifest is not None
    return manifest, shards.ShardReader(out)


def inputs(folder: pathlib.Path, stem: str) -> dict[str, media.Input]:
    """Return an input of each kind with one image or clip of that name."""
    write(folder / f"images/{stem}.jpg", JPEG)
    write(folder / f"images/{stem}.txt")
    write(folder / f"frames/{stem}/1.jpg", JPEG)
    write(folder / f"frames/{stem}/caption.txt")
    write(folder / f"talks/{stem}.gif", gif())
    write(folder / f"talks/{stem}.srt", SRT)
    row = json.dumps({"path": f"images/{stem}.jpg", "text": "words of a caption"})
    write(folder / "t.jsonl", row)
    with tarfile.open(folder / "a.tar", "w") as file:
        for name, data in ((f"{stem}.jpg", JPEG), (f"{stem}.txt", b"words of a caption")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return {
        "images": images.Images(str(folder / "images")),
        "frames": images.FrameFolders(str(folder / "frames")),
        "talks": transcripts.Transcripts(str(folder / "talks"), shortest=0.1),
        "table": table.Table(str(folder / "t.jsonl")),
        "tars": tars.Tars(str(folder / "*.tar")),
    }


def gif() -> bytes:
    """Return four seconds of moving pictures."""
    frames = [Image.fromarray(np.full((24, 32, 3), 40 * n, np.uint8)) for n in range(4)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=1000)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["images", "frames", "talks", "table", "tars"])
def test_a_name_that_is_not_utf8_is_kept_readable(tmp_path, kind) -> None:
    home = inputs(tmp_path, BAD)[kind]
    manifest, records = prepared(home, tmp_path / "out")
    assert (manifest.records, manifest.statistics["rejected"]) == (1, 0)
    assert "caf\\xe9" in records[0].key
    told = doctor.report(doctor.examine({"raw": prepare_corpus.Corpus(home)}, 0), None)
    json.dumps(told, ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", ["images", "frames", "talks", "table", "tars"])
def test_a_fault_in_a_name_that_is_not_utf8_is_reported(tmp_path, kind) -> None:
    homes = inputs(tmp_path, BAD)
    for path in tmp_path.rglob("*"):
        if path.suffix in (".jpg", ".gif"):
            path.write_bytes(b"damaged")
    if kind == "tars":
        write(tmp_path / "a.tar", (tmp_path / "a.tar").read_bytes().replace(JPEG, b"x" * len(JPEG)))
    with pytest.raises(media.Stop, match=r"at most 99\.0% bad clips, got 1 of 1"):
        prepared(homes[kind], tmp_path / "out", 0.99)
    (sheet,) = (tmp_path / "out/parts").iterdir()
    (rejected,) = json.loads(sheet.read_bytes())["rejected"]
    assert "caf\\xe9" in rejected["key"] + rejected["why"]
    told = doctor.report(doctor.examine({"raw": prepare_corpus.Corpus(homes[kind])}, 0), None)
    json.dumps(told, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        '{"path": "a.jpg", "text": "x", "start": %s}' % ("9" * 400),
        '{"path": "a.jpg", "text": "x", "start": %s}' % ("9" * 5000),
        '{"path": "a.jpg", "text": "x", "start": "%s:00:00"}' % ("9" * 400),
        '{"path": "a.jpg", "text": "x", "labels": %s}' % ("[" * 900 + "]" * 900),
        '{"path": "a.jpg", "text": "x", "labels": %s}' % ('{"a":' * 50_000),
        '{"path": "%s.jpg", "text": "x"}' % ("a" * 5000),
        '{"path": "%s.jpg", "text": "x"}' % ("a/" * 5000),
        r'{"path": "a\ud800.jpg", "text": "x"}',
        r'{"path": "a.jpg", "text": "\ud800"}',
        r'{"path": "a.jpg", "text": "words", "n": {"\udc00": 1}}',
        '{"path": null, "text": "x"}',
        '{"path": "", "text": "x"}',
        r'{"path": "a\u0000.jpg", "text": "x"}',
        '{"path": ["a.jpg"], "text": "x"}',
        '{"path": "a.jpg", "text": null}',
        '{"path": "none.mp4", "text": "x"}',
        '{"path": "folder", "text": "x"}',
    ],
)
def test_one_hostile_row_costs_one_clip(tmp_path, wrong) -> None:
    write(tmp_path / "a.jpg", JPEG)
    (tmp_path / "folder").mkdir()
    good = json.dumps({"path": "a.jpg", "text": "words"})
    write(tmp_path / "t.jsonl", "\n".join([good, wrong, good]))
    manifest, records = prepared(table.Table(str(tmp_path / "t.jsonl")), tmp_path / "out", 0.4)
    assert (manifest.records, manifest.statistics["rejected"]) == (2, 1)
    assert [each.key for each in records] == ["a.jpg#1", "a.jpg#3"]
    (line,) = (tmp_path / "out/rejected.jsonl").read_text("utf-8").splitlines()
    assert "expected" in json.loads(line)["why"]


@pytest.mark.parametrize(
    "text", ['{"segments": [null]}', '{"segments": 7}', '{"words": {}}', "[" * 900 + "]" * 900, "nul", '"a"']
)
def test_a_hostile_transcript_costs_one_video(tmp_path, text) -> None:
    write(tmp_path / "a.gif", gif())
    write(tmp_path / "a.json", text)
    write(tmp_path / "b.gif", gif())
    write(tmp_path / "b.srt", SRT)
    home = transcripts.Transcripts(str(tmp_path), shortest=0.1)
    manifest, _ = prepared(home, tmp_path / "out", 0.5)
    assert (manifest.records, manifest.statistics["rejected"]) == (1, 1)


@pytest.mark.parametrize(
    "error",
    [OverflowError, RecursionError, AttributeError, KeyError, UnicodeError, OSError, errors.UserError],
)
def test_whatever_an_encoding_raises_costs_one_medium(tmp_path, monkeypatch, error) -> None:
    for name in "abc":
        write(tmp_path / f"in/{name}.jpg", JPEG)
        write(tmp_path / f"in/{name}.txt")
    monkeypatch.setattr(filesystem, "read", _failing(filesystem.read, "b.jpg", error))
    manifest, records = prepared(images.Images(str(tmp_path / "in")), tmp_path / "out", 0.5)
    assert [each.key for each in records] == ["a.jpg", "c.jpg"]
    assert manifest.statistics["rejected"] == 1


def _failing(function, name, error):
    def call(path, *arguments):
        if path.endswith(name):
            raise error("planted")
        return function(path, *arguments)

    return call


def test_a_full_disk_is_no_fault_of_a_clip(tmp_path, monkeypatch) -> None:
    write(tmp_path / "in/a.jpg", JPEG)
    write(tmp_path / "in/a.txt")
    full = lambda text: OSError(errno.ENOSPC, "no space left")
    monkeypatch.setattr(filesystem, "read", _failing(filesystem.read, "a.jpg", full))
    with pytest.raises(errors.UserError, match="the disk or the quota is full"):
        prepared(images.Images(str(tmp_path / "in")), tmp_path / "out", 0.99)


def test_frames_of_two_formats_are_refused(tmp_path) -> None:
    for number, names in enumerate((("1.jpg", "1.png"), ("1.jpg", "2.png"), ("1.jpg", "1.jpeg"))):
        for name in names:
            write(tmp_path / f"{number}/{name}", JPEG)
        write(tmp_path / f"{number}/caption.txt")
        medium = media_of(images.FrameFolders(str(tmp_path)))[number]
        with pytest.raises(
            errors.UserError, match=f"one image file for each frame.* got {', '.join(sorted(names))}"
        ):
            medium.read()


def test_frames_of_a_folder_inside_are_its_own(tmp_path) -> None:
    for name in ("a/1.jpg", "a/b/1.jpg", "a/b/2.jpg", "a.x/1.jpg"):
        write(tmp_path / name, JPEG)
    found = {each.name: len(each.read()) for each in media_of(images.FrameFolders(str(tmp_path)))}
    assert found == {"a": 1, "a/b": 2, "a.x": 1}


def test_what_is_passed_over_is_counted_and_named(tmp_path) -> None:
    for name in ("a.jpg", "a.txt", "b.mp4", "c/d.mp4", "lonely.txt", "README", ".hidden"):
        write(tmp_path / f"images/{name}", JPEG)
    for name in ("a/1.jpg", "a/caption.txt", "a/notes.md", "loose.jpg", "b/x.npy"):
        write(tmp_path / f"frames/{name}", JPEG)
    for name in ("a.mp4", "a.srt", "a.info.json", "b.en.vtt", "b.mp3"):
        write(tmp_path / f"talks/{name}", SRT)
    assert passed_over(images.Images(str(tmp_path / "images"))) == {
        ".mp4 files": 2,
        ".txt files": 1,
        "files without an ending": 1,
    }
    assert passed_over(images.FrameFolders(str(tmp_path / "frames"))) == {
        ".md files": 1,
        ".jpg files": 1,
        ".npy files": 1,
    }
    assert passed_over(transcripts.Transcripts(str(tmp_path / "talks"))) == {
        ".json files": 1,
        ".vtt files": 1,
        ".mp3 files": 1,
    }
    write(tmp_path / "images/a.txt")
    manifest, _ = prepared(images.Images(str(tmp_path / "images")), tmp_path / "out")
    assert manifest.statistics["passed_over"][".mp4 files"] == {"files": 2, "example": "b.mp4"}
    assert "- passed over: 2 .mp4 files (such as b.mp4)" in (tmp_path / "out/card.md").read_text()
    home = prepare_corpus.Corpus(images.Images(str(tmp_path / "images")))
    assert doctor.passed_over({"raw": home})[".mp4 files"]["files"] == 2


def test_wrong_cues_are_counted_in_the_report(tmp_path) -> None:
    write(tmp_path / "in/a.gif", gif())
    write(tmp_path / "in/a.srt", SRT + "\n00:00:09,000 --> 00:00:08,000\nback\n")
    home = transcripts.Transcripts(str(tmp_path / "in"), shortest=0.1)
    manifest, records = prepared(home, tmp_path / "out")
    assert records[0].caption == "one two three."
    (found,) = manifest.statistics["passed_over"].items()
    assert found[0] == "wrong cues"
    assert found[1]["example"].startswith("a.srt: expected end after start, got a cue from 9.0 to 8.0")
