"""One rule for captions, labels and times, whatever file they come from."""

import csv
import io
import json
import pathlib
import tarfile
from typing import Any

import pytest

from prismlab.data.corpus.inputs import images, media, table, tars

DEEP = "[" * 900 + "]" * 900
# JSON of a clip's fields; the caption, labels, and part of the fault that come of it.
CASES = [
    ('{"text": " words "}', "words", {}, ""),
    ('{"text": null, "n": 1}', "", {"n": 1}, ""),
    ('{"text": NaN, "n": 1}', "", {"n": 1}, ""),
    ('{"n": 1}', "", {"n": 1}, ""),
    ('{"text": ["a", "b"]}', "", {}, 'expected a caption that is text, got ["a", "b"]'),
    ('{"text": {"en": "a"}}', "", {}, 'expected a caption that is text, got {"en": "a"}'),
    ('{"text": 7}', "", {}, "expected a caption that is text, got 7"),
    ('{"text": true}', "", {}, "expected a caption that is text, got true"),
    ('{"text": "a", "n": NaN, "m": -Infinity, "k": null, "b": false}', "a", {"b": False}, ""),
    ('{"text": "a", "n": [1, NaN, {"x": Infinity}]}', "a", {"n": [1, None, {"x": None}]}, ""),
    ('{"text": "a", "n": 1e999}', "a", {}, ""),
    ('{"text": "a", "n": "NaN"}', "a", {"n": "NaN"}, ""),
    (f'{{"text": "a", "n": {DEEP}}}', "", {}, "expected at most 100 levels of nesting"),
    (f'{{"text": "a", "n": {"[" * 100_000}}}', "", {}, "expected "),
    (f'{{"text": "a", "n": {"9" * 5000}}}', "", {}, "expected "),
]  # fmt: skip


def from_table(folder: pathlib.Path, text: str) -> media.Cut:
    (folder / "t.jsonl").write_text('{"path": "a.mp4", ' + text[1:] + "\n")
    return cut_of(table.Table(str(folder / "t.jsonl")))


def from_tar(folder: pathlib.Path, text: str, **more: bytes) -> media.Cut:
    with tarfile.open(folder / "a.tar", "w") as file:
        for ending, data in {"json": text.encode(), "mp4": b"video", **more}.items():
            info = tarfile.TarInfo(f"a.{ending}")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return cut_of(tars.Tars(str(folder / "*.tar")))


def from_image(folder: pathlib.Path, text: str) -> media.Cut:
    (folder / "a.jpg").touch()
    (folder / "a.json").write_text(text)
    return cut_of(images.Images(str(folder)))


def from_frames(folder: pathlib.Path, text: str) -> media.Cut:
    (folder / "a").mkdir()
    (folder / "a/1.jpg").touch()
    (folder / "a/caption.json").write_text(text)
    return cut_of(images.FrameFolders(str(folder)))


def cut_of(home: media.Input) -> media.Cut:
    (unit,) = home.units()
    (medium,) = (each for each in home.read(unit) if isinstance(each, media.Medium))
    (cut,) = medium.cuts
    return cut


INPUTS = {"table": from_table, "tar": from_tar, "image": from_image, "frames": from_frames}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize(("text", "caption", "labels", "fault"), CASES)
def test_every_input_reads_json_alike(tmp_path, kind, text, caption, labels, fault) -> None:
    if kind == "table" and '"text"' not in text:
        pytest.skip("a table without the column is refused as a whole")
    cut = INPUTS[kind](tmp_path, text)
    assert fault in cut.fault
    assert bool(cut.fault) == bool(fault)
    assert (cut.caption, cut.labels) == (caption, labels)


@pytest.mark.parametrize("kind", ["image", "frames", "tar"])
def test_a_text_file_comes_before_json_whose_labels_stay(tmp_path, kind) -> None:
    said, text = b"\xef\xbb\xbfsaid\n", '{"text": "x", "n": 1}'
    if kind == "tar":
        cut = from_tar(tmp_path, text, txt=said)
    else:
        home = tmp_path / kind
        (home / "a").mkdir(parents=True)
        (home / ("a.txt" if kind == "image" else "a/caption.txt")).write_bytes(said)
        if kind == "image":
            cut = from_image(home, text)
        else:
            (home / "a/1.jpg").touch()
            (home / "a/caption.json").write_text(text)
            cut = cut_of(images.FrameFolders(str(home)))
    assert (cut.caption, cut.labels) == ("said", {"n": 1})


def time_cases(value: Any) -> list[tuple[str, bytes]]:
    text = io.StringIO()
    row = ("a.mp4", "words", "" if value is None else value)
    csv.writer(text).writerows([("path", "text", "start"), row])
    line = json.dumps({"path": "a.mp4", "text": "words", "start": value})
    return [(".csv", text.getvalue().encode()), (".jsonl", line.encode())]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "soon", 10**400, 1e9])
def test_wrong_times_are_wrong_in_every_table(tmp_path, value) -> None:
    for ending, data in time_cases(value):
        (tmp_path / f"t{ending}").write_bytes(data)
        cut = cut_of(table.Table(str(tmp_path / f"t{ending}")))
        assert cut.fault.startswith("start: expected a time"), ending


@pytest.mark.parametrize("value", [None, "", 0, 1.5, "1:30"])
def test_right_times_are_right_in_every_table(tmp_path, value) -> None:
    for ending, data in time_cases(value):
        (tmp_path / f"t{ending}").write_bytes(data)
        cut = cut_of(table.Table(str(tmp_path / f"t{ending}")))
        assert (cut.fault, cut.start) == ("", {None: None, "": None, "1:30": 90.0}.get(value, value)), ending


def test_parquet_is_read_by_the_same_rule(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the optional extra `parquet` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the optional extra `parquet` is not installed")
    import datetime
    import decimal

    day, nan = datetime.date(2024, 1, 2), float("nan")
    rows = {
        "path": ["a.mp4", "b.mp4", "c.mp4"],
        "text": ["one", None, "three"],
        "start": [1.0, 2.0, nan],
        "end": [decimal.Decimal("2.5"), None, None],
        "day": [day, day, None],
        "score": [nan, 1.0, 2.0],
    }
    parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    home = table.Table(str(tmp_path / "t.parquet"))
    first, second, third = (medium.cuts[0] for unit in home.units() for medium in home.read(unit))
    assert (first.caption, first.start, first.end, first.labels) == ("one", 1.0, 2.5, {"day": "2024-01-02"})
    assert (second.caption, second.labels) == ("", {"day": "2024-01-02", "score": 1.0})
    assert third.fault.startswith("start: expected a time")
