"""`memory://` and local paths by the same calls: input, shards and reading behind a URL."""

import csv
import errno
import io
import pathlib

import fsspec
import pytest

from prismlab.core import errors
from prismlab.core.io import filesystem, temporary_files
from prismlab.data.corpus import clip_encoding, prepare_corpus
from prismlab.data.corpus.inputs import table
from prismlab.data.loader import source
from prismlab.data.video import frames
from prismlab.data.world import render, world

WORLD = world.World(clips=5, resolution=16, frames=3, fps=4)


@pytest.fixture
def bucket(tmp_path: pathlib.Path) -> str:
    render.render(WORLD, tmp_path / "raw", workers=0)
    system = fsspec.filesystem("memory")
    system.put(str(tmp_path / "raw"), "/bucket/raw", recursive=True)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([("path", "text"), *((f"videos/{i:06d}.mp4", f"clip {i}") for i in range(5))])
    system.pipe_file("/bucket/raw/clips.csv", text.getvalue().encode())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def test_a_corpus_behind_a_url_is_that_of_local_files(bucket, tmp_path) -> None:
    (tmp_path / "raw/clips.csv").write_bytes(filesystem.read(f"{bucket}/raw/clips.csv", 1 << 20))
    manifests = [
        prepare_corpus.prepare(
            prepare_corpus.Corpus(
                table.Table(f"{home}/raw/clips.csv", rows_per_shard=2), clip_encoding.H264(16)
            ),
            out,
        )
        for home, out in ((bucket, f"{bucket}/out"), (str(tmp_path), str(tmp_path / "out")))
    ]
    assert manifests[0] == manifests[1]
    records = source.Shards(f"{bucket}/out").open(tmp_path / "cache")
    near = source.Shards(str(tmp_path / "out")).open(tmp_path)
    assert not (tmp_path / "cache").exists()
    assert [records[i] for i in range(5)] == [near[i] for i in range(5)]
    assert len(list((tmp_path / "cache/fetched").iterdir())) == 3
    assert frames.decode(records[0]).shape == (3, 16, 16, 3)
    records.verify()


def test_a_shard_that_changed_behind_its_url_is_refused(bucket, tmp_path) -> None:
    spec = prepare_corpus.Corpus(table.Table(f"{bucket}/raw/clips.csv"), clip_encoding.H264(16))
    prepare_corpus.prepare(spec, f"{bucket}/out")
    records = source.Shards(f"{bucket}/out").open(tmp_path)
    name = f"{bucket}/out/shard-000000.array_record"
    whole = filesystem.read(name, 1 << 24)
    filesystem.write_atomic(name, whole[:-1] + b"x")
    with pytest.raises(errors.UserError, match="expected the sha256 of the manifest"):
        records[0]
    filesystem.write_atomic(name, whole[:-1])
    with pytest.raises(errors.UserError, match=f"expected {len(whole)} bytes"):
        source.Shards(f"{bucket}/out").open(tmp_path)


def test_an_unknown_file_system_and_a_missing_file(bucket) -> None:
    with pytest.raises(errors.UserError, match="that fsspec supports"):
        filesystem.file_type("nowhere://bucket/a")
    with pytest.raises(errors.UserError, match="expected a file, found none"):
        filesystem.read(f"{bucket}/none", 10)
    with pytest.raises(errors.UserError, match="at most 3 bytes"):
        filesystem.read(f"{bucket}/raw/clips.csv", 3)


def test_a_full_disk_is_one_line_and_finished_shards_stay(bucket, tmp_path, monkeypatch) -> None:
    render.render(WORLD, tmp_path / "raw", workers=0)
    (tmp_path / "raw/clips.csv").write_bytes(filesystem.read(f"{bucket}/raw/clips.csv", 1 << 20))
    spec = prepare_corpus.Corpus(
        table.Table(str(tmp_path / "raw/clips.csv"), rows_per_shard=2), clip_encoding.H264(16)
    )
    settle = temporary_files._settle

    def full(temporary: pathlib.Path, target: pathlib.Path) -> None:
        if target.name == "shard-000001.array_record":
            raise OSError(errno.ENOSPC, "No space left on device")
        settle(temporary, target)

    monkeypatch.setattr(temporary_files, "_settle", full)
    with pytest.raises(errors.UserError, match="the disk or the quota is full: free some space"):
        prepare_corpus.prepare(spec, str(tmp_path / "out"))
    assert (tmp_path / "out/shard-000000.array_record").is_file()
    monkeypatch.undo()
    assert prepare_corpus.prepare(spec, str(tmp_path / "out")) is not None
