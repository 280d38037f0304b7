"""Shards give back what was written, to any thread or process, and notice every kind of damage."""

import concurrent.futures
import json
import multiprocessing
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.records import record, shards


def _records(count: int) -> Iterator[record.Record]:
    for i in range(count):
        yield record.Record(f"clip {i}", bytes([i % 256]) * (50 + i), f"caption {i}", labels={"index": i})


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    shards.write_shards(_records(25), tmp_path / "set", 10, source="a test")
    return tmp_path / "set"


@settings(max_examples=12, deadline=None)
@given(count=st.integers(1, 30), size=st.integers(1, 12))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, count: int, size: int) -> None:
    path = tmp_path_factory.mktemp("set")
    assert shards.write_shards(_records(count), path, size) == count
    reader = shards.ShardReader(path)
    assert len(reader) == count
    assert [reader[i] for i in range(count)] == list(_records(count))
    assert [shard.records for shard in reader.manifest.shards][:-1] == [size] * ((count - 1) // size)
    reader.verify()
    for outside in (-1, count):
        with pytest.raises(IndexError):
            reader[outside]


def test_manifest(directory: pathlib.Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    assert (manifest["schema_version"], manifest["records"], manifest["source"]) == (2, 25, "a test")
    assert manifest["finished"] is True
    assert sorted(p.name for p in directory.iterdir()) == [
        "manifest.json",
        *(f"shard-0000{i}.array_record" for i in range(3)),
    ]


def test_threads_share_a_reader(directory: pathlib.Path) -> None:
    reader, expected = shards.ShardReader(directory), list(_records(25))
    order = [(7 * i) % 25 for i in range(600)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.__getitem__, order)) == [expected[i] for i in order]


def _read(reader: shards.ShardReader, index: int) -> record.Record:
    return reader[index]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_processes_share_a_reader(directory: pathlib.Path, method: str) -> None:
    reader = shards.ShardReader(directory)
    assert reader[24] == pickle.loads(pickle.dumps(reader))[24]
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(_read, reader, 23).result(60) == reader[23]


KILLED = """
import os, sys
from prismlab.data.records import record, shards
def records():
    for i in range(25):
        if i == 17:
            os._exit(9)
        yield record.Record(f"clip {i}", bytes([i]) * (50 + i), f"caption {i}", labels={"index": i})
shards.write_shards(records(), sys.argv[1], 10, source="a test")
"""


def test_a_killed_writer_leaves_no_manifest_and_can_be_repeated(
    tmp_path: pathlib.Path, directory: pathlib.Path
) -> None:
    half = tmp_path / "half"
    done = subprocess.run([sys.executable, "-c", KILLED, str(half)], check=False, timeout=60)
    assert done.returncode == 9
    assert (half / "shard-00000.array_record").exists()
    (half / "shard-00007.array_record").write_bytes(b"left over")
    assert not shards.finished(half)
    with pytest.raises(errors.UserError, match="expected the manifest of finished shards"):
        shards.ShardReader(half)
    shards.write_shards(_records(25), half, 10, source="a test")
    assert {p.name: p.read_bytes() for p in half.iterdir()} == {
        p.name: p.read_bytes() for p in directory.iterdir()
    }


def test_a_failing_source_leaves_no_manifest(tmp_path: pathlib.Path) -> None:
    def failing() -> Iterator[record.Record]:
        yield from _records(12)
        raise errors.UserError("line 13 is wrong")

    with pytest.raises(errors.UserError, match="line 13"):
        shards.write_shards(failing(), tmp_path, 10)
    assert not shards.finished(tmp_path)


def test_a_finished_directory_is_not_written_again(directory: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="choose another directory"):
        shards.write_shards(_records(3), directory)
    assert len(shards.ShardReader(directory)) == 25


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_to_write(tmp_path: pathlib.Path, size: int) -> None:
    with pytest.raises(errors.UserError, match="records_per_shard"):
        shards.write_shards(_records(3), tmp_path, size)
    with pytest.raises(errors.UserError, match="at least one record"):
        shards.write_shards(iter(()), tmp_path)


def test_missing_empty_and_cut_shards_are_all_named(directory: pathlib.Path) -> None:
    paths = sorted(directory.glob("shard-*"))
    paths[0].unlink()
    paths[1].write_bytes(b"")
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    with pytest.raises(errors.UserError) as caught:
        shards.ShardReader(directory)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(path.name in line and "rebuild its shards" in line for path, line in zip(paths, lines))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schema_version": 3}, "schema version 2, got 3"),
        ({"finished": False}, "finished"),
        ({"records": 24}, "consistent counts"),
        ({"shards": None}, "unreadable"),
        ({"shards": [{"file": "../x", "records": 25, "bytes": 3}]}, "consistent counts"),
    ],
)
def test_wrong_manifests(directory: pathlib.Path, change: dict, word: str) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(errors.UserError, match=word):
        shards.ShardReader(directory)


def test_an_unreadable_manifest(directory: pathlib.Path) -> None:
    (directory / "manifest.json").write_text("{")
    with pytest.raises(errors.UserError, match="unreadable"):
        shards.ShardReader(directory)


@pytest.mark.parametrize("where", [b"clip 13", b"caption 13", bytes([13]) * 40])
def test_a_changed_byte_is_noticed(directory: pathlib.Path, where: bytes) -> None:
    path = directory / "shard-00001.array_record"
    content = bytearray(path.read_bytes())
    content[content.index(where) + 3] ^= 1
    path.write_bytes(content)
    reader = shards.ShardReader(directory)
    assert reader[5].key == "clip 5"
    with pytest.raises(errors.UserError, match=r"shard-00001\.array_record, record 3: expected"):
        reader[13]
    with pytest.raises(errors.UserError, match="shard-00001"):
        reader.verify()
