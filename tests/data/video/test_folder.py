"""A user's folder: every fault is named by file and line."""

import json
import pathlib

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.video import encode, folder

VIDEO = encode.encode(np.zeros((16, 16, 16, 3), np.uint8), 8)


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").write_bytes(VIDEO)
    (tmp_path / "outside.mp4").write_bytes(VIDEO)
    return tmp_path / "set"


def _write(directory: pathlib.Path, *rows: dict | str | bytes) -> None:
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
        for row in rows
    ]
    (directory / "captions.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def test_rows_become_records(directory: pathlib.Path) -> None:
    _write(
        directory,
        {"path": "a.mp4", "caption": "ein Kreis, größer"},
        "",
        {"path": "a.mp4", "caption": "b", "start": 1.0},
    )
    (directory / "truth.jsonl").write_text('{"path": "a.mp4", "species": "disc"}\n')
    first, second = folder.read_folder(directory, min_frames=8)
    assert (first.key, first.caption, first.start, first.end) == ("a.mp4#1", "ein Kreis, größer", None, None)
    assert (second.key, second.start) == ("a.mp4#3", 1.0)
    assert first.video == VIDEO
    assert (first.frame_count, second.frame_count) == (16, 8)  # one second of two at 8 frames a second
    assert first.labels == {"species": "disc"}


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("{", "expected one JSON object in UTF-8"),
        (b'{"path": "a.mp4", "caption": "\xff"}', "expected one JSON object in UTF-8"),
        ("[]", 'with a "path"'),
        ({"path": "a.mp4"}, "non-empty caption"),
        ({"path": "a.mp4", "caption": " "}, "non-empty caption"),
        ({"path": "a.mp4", "caption": 3}, "non-empty caption"),
        ({"path": "a.mp4", "caption": "\ud800"}, "surrogates"),
        ({"path": "a.mp4", "caption": "x", "text": "y"}, r"got \['text'\]"),
        ({"path": "a.mp4", "caption": "x", "start": 1, "end": 0.5}, "end after start"),
        ({"path": "a.mp4", "caption": "x", "start": "0"}, "start as seconds"),
        ({"path": "b.mp4", "caption": "x"}, "found none"),
        ({"path": "../outside.mp4", "caption": "x"}, "inside the folder"),
        ({"path": "/etc/passwd", "caption": "x"}, "inside the folder"),
        ({"path": "", "caption": "x"}, "inside the folder"),
        ({"path": "a" * 5000, "caption": "x"}, "inside the folder"),
        ({"path": "a\ud800.mp4", "caption": "x"}, "inside the folder"),
        ({"path": "a.mp4", "caption": "x", "start": 10**400}, "start as seconds"),
        ({"path": "a.mp4", "caption": "x", "start": float("nan")}, "start as seconds"),
        ({"path": "a.mp4", "caption": "x", "end": float("inf")}, "end as seconds"),
        ({"path": "a.mp4", "caption": None}, "non-empty caption"),
        ('{"path": ' + "[" * 100_000, "expected one JSON object"),
    ],
)
def test_faulty_rows_are_named_before_any_record(
    directory: pathlib.Path, row: dict | str | bytes, word: str
) -> None:
    _write(directory, {"path": "a.mp4", "caption": "fine"}, row)
    with pytest.raises(errors.UserError, match=rf"captions\.jsonl, line 2: .*{word}"):
        folder.read_folder(directory)


def test_links_out_of_the_folder_are_refused(directory: pathlib.Path) -> None:
    (directory / "link.mp4").symlink_to(directory.parent / "outside.mp4")
    _write(directory, {"path": "link.mp4", "caption": "x"})
    with pytest.raises(errors.UserError, match="inside the folder"):
        folder.read_folder(directory)


def test_all_faults_are_listed_up_to_twenty(directory: pathlib.Path) -> None:
    _write(directory, *({"path": f"{i}.mp4", "caption": "x"} for i in range(30)))
    with pytest.raises(errors.UserError) as caught:
        folder.read_folder(directory)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert "line 20: expected the video '19.mp4'" in lines[19]
    assert "10 more errors" in lines[20]


@pytest.mark.parametrize(
    ("content", "row", "word"),
    [
        (b"", {}, "0 bytes"),
        (b"no video" * 99, {}, "damaged or not a video"),
        (VIDEO[:600], {}, "damaged or not a video"),
        (VIDEO, {"start": 0.5, "end": 1.3}, "expected 8 frames or more, got 7"),
        (VIDEO, {"start": 5.0}, "expected 8 frames or more, got 0"),
    ],
)
def test_faulty_videos_are_named(directory: pathlib.Path, content: bytes, row: dict, word: str) -> None:
    (directory / "b.mp4").write_bytes(content)
    _write(directory, {"path": "a.mp4", "caption": "x"}, {"path": "b.mp4", "caption": "y", **row})
    records = folder.read_folder(directory, min_frames=8)
    assert next(records).caption == "x"
    with pytest.raises(errors.UserError, match=rf"captions\.jsonl, line 2: b\.mp4: .*{word}"):
        next(records)


def test_missing_and_empty_lists(directory: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="found no such file"):
        folder.read_folder(directory)
    _write(directory, "")
    with pytest.raises(errors.UserError, match="at least one line"):
        folder.read_folder(directory)
