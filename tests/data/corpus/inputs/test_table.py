"""Tables as people write them, and as they get them wrong."""

import json
import pathlib

import pytest

from prismlab.core import errors
from prismlab.data.corpus.inputs import media, table, timestamps

ROWS = [
    ("a.mp4", 'one, "two"\nthree', 0.5, None),
    ("a.mp4", "naïve", None, "00:01:02.5"),
    ("b.jpg", "four", "", ""),
]


def written(folder: pathlib.Path, ending: str) -> str:
    path = folder / f"clips{ending}"
    columns = ("path", "text", "start", "end")
    if ending == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(columns, row))) + "\n\n" for row in ROWS), "utf-8")
    elif ending == ".parquet":
        why = "the optional extra `parquet` is not installed"
        pyarrow = pytest.importorskip("pyarrow", reason=why)
        parquet = pytest.importorskip("pyarrow.parquet", reason=why)
        rows = [(a, b, None if c in (None, "") else str(c), d or None) for a, b, c, d in ROWS]
        parquet.write_table(pyarrow.table(dict(zip(columns, map(list, zip(*rows))))), path)
    else:
        mark = "\t" if ending == ".tsv" else ","
        lines = [mark.join(columns)]
        for row in ROWS:
            lines.append(mark.join('"' + str("" if v is None else v).replace('"', '""') + '"' for v in row))
        path.write_text("\ufeff" + "\r\n".join(lines), "utf-8", newline="")
    return str(path)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_clips(tmp_path, ending) -> None:
    (tmp_path / "b.jpg").touch()
    home = table.Table(written(tmp_path, ending))
    (unit,) = home.units()
    video, image = home.read(unit)
    assert (video.kind, image.kind) == ("video", "image")
    assert [(c.key, c.caption, c.start, c.end) for c in video.cuts] == [
        ("a.mp4#1", 'one, "two"\nthree', 0.5, None),
        ("a.mp4#2", "naïve", None, 62.5),
    ]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("t.csv", b"file,text\na,b\n", "expected columns path, text, got 'file', 'text'; add path"),
        ("t.csv", b"path,path,text\na,b,c\n", "path twice"),
        ("t.csv", b"", "got none"),
        ("t.csv", b"path,text\n", "at least one row"),
        ("t.csv", b"path,text\na,b\nc,d,e\n", "line 3: expected 2 fields as in the first line, got 3"),
        ("t.csv", b'path,text\na,"b\n', "line 2: expected a row of a table"),
        ("t.csv", "path,text\na,caf\xe9\n".encode("latin-1"), "expected UTF-8, got the byte 0xe9"),
        ("t.csv", "path,text\na,b\n".encode("utf-16"), "expected UTF-8, got the byte 0xff"),
        ("t.tsv", b"path,text\na,b\n", "expected columns path, text"),
        ("t.jsonl", b'{"path": "a", "text": "b"}\n{"path": "a"}\n', "line 2: expected columns path, text"),
        ("t.jsonl", b"[1]\n", "line 1: expected one JSON object"),
        ("t.jsonl", b'{"path": \n', "line 1: expected one JSON object"),
        ("t.jsonl", b'{"path": "a", "text": "\xff"}\n', "0xff"),
        ("t.xlsx", b"x", "expected a table that ends in .csv, .tsv, .jsonl, .parquet"),
        ("t.parquet", b"no parquet", "expected a Parquet file|pip install"),
    ],
)
def test_wrong_tables_are_one_line(tmp_path, name, data, told) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(media.Stop, match=told) as caught:
        list(table.Table(str(tmp_path / name)).units())
    assert "\n" not in str(caught.value)


def test_a_missing_table(tmp_path) -> None:
    with pytest.raises(media.Stop, match="found no such file"):
        list(table.Table(str(tmp_path / "none.csv")).units())


@pytest.mark.parametrize("name", ["../secret.mp4", "/etc/passwd", "a/../../x", "link/x.mp4", "gs://b/x"])
def test_paths_that_leave_the_root_stop_the_run(tmp_path, name) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    home = table.Table(str(tmp_path / "t.jsonl"), root=str(root))
    (tmp_path / "t.jsonl").write_text(json.dumps({"path": name, "text": "x"}) + "\n")
    (unit,) = home.units()
    with pytest.raises(media.Stop, match="row 1: expected a path below"):
        list(home.read(unit))


@pytest.mark.parametrize(
    ("text", "told"), [("soon", "expected a time"), ("-1", "0 seconds or more"), ("nan", "0 sec")]
)
def test_a_wrong_time_is_a_fault_of_its_clip(tmp_path, text, told) -> None:
    (tmp_path / "t.csv").write_text(f"path,text,start\na.mp4,words,{text}\n")
    home = table.Table(str(tmp_path / "t.csv"))
    (unit,) = home.units()
    (medium,) = home.read(unit)
    assert told in medium.cuts[0].fault


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1, 1.0), ("2.5", 2.5), ("1:02", 62.0), ("01:00:00,5", 3600.5), (None, None), (" ", None)],
)
def test_clock(value, seconds) -> None:
    assert timestamps.seconds(value) == seconds
    with pytest.raises(ValueError, match="True"):
        timestamps.seconds(True)


@pytest.mark.parametrize("wrong", [{"rows_per_shard": 0}, {"fps": 0.0}])
def test_wrong_settings(wrong) -> None:
    with pytest.raises(errors.UserError, match=next(iter(wrong))):
        table.Table("t.csv", **wrong)


def test_a_table_may_have_no_captions(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("path,views\na.mp4,3\n")
    home = table.Table(str(tmp_path / "t.csv"), text_column=None)
    (medium,) = (each for unit in home.units() for each in home.read(unit))
    assert [(cut.caption, cut.labels) for cut in medium.cuts] == [(None, {"views": "3"})]
