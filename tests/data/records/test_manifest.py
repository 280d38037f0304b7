"""A manifest from somewhere else is read only if its values are possible."""

import json
import pathlib
import re

import fsspec
import pytest

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.data.loader import source
from prismlab.data.records import manifest, record, shards

SHA = "0" * 64


def written(directory: pathlib.Path) -> dict:
    records = (record.Record(f"clip {index}", b"video", "words") for index in range(4))
    shards.write_shards(records, directory, 2, source="a test")
    return json.loads((directory / "manifest.json").read_text())


def test_what_is_written_is_read(tmp_path) -> None:
    found = written(tmp_path)
    read = manifest.read(str(tmp_path))
    assert json.loads(read.encoded()) == found
    assert [(each.file, each.records) for each in read.shards] == [
        ("shard-00000.array_record", 2),
        ("shard-00001.array_record", 2),
    ]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("file", "../x", "name of a file in this folder, got '../x'"),
        ("file", "/etc/passwd", "name of a file in this folder"),
        ("file", "a\0b", "name of a file in this folder"),
        ("file", "", "name of a file in this folder"),
        ("file", "..", "name of a file in this folder"),
        ("file", "shard-00001.array_record", "the same one twice"),
        ("file", 7, "expected text at shards[0].file"),
        ("records", -1, "expected 1 or more records"),
        ("records", 0, "expected 1 or more records"),
        ("records", 10**18, "expected 1 or more records"),
        pytest.param("records", 10**400, "64-bit integer at records, found a number", id="long"),
        ("records", 2.0, "64-bit integer"),
        ("records", True, "64-bit integer"),
        ("records", None, "64-bit integer"),
        ("bytes", -5, "expected 1 or more records"),
        ("bytes", 1 << 60, "expected 1 or more records"),
        ("sha256", "../../x", "sha256 of 64 hex digits, got '../../x'"),
        ("sha256", SHA[:-1], "sha256 of 64 hex digits"),
        ("sha256", SHA + "\n", "sha256 of 64 hex digits"),
        ("sha256", SHA.upper().replace("0", "A"), "sha256 of 64 hex digits"),
        ("sha256", [], "expected text"),
    ],
)
def test_impossible_values_of_a_shard(tmp_path, name, value, told) -> None:
    found = written(tmp_path)
    found["shards"][0][name] = value
    if name == "records" and isinstance(value, int):
        found["records"] = found["shards"][1]["records"] + value
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(errors.UserError, match=re.escape(told)) as caught:
        shards.ShardReader(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["null", "7", "[]", '"a"', "", "\x00", "[" * 100_000, '{"a":' * 100_000, "{}", '{"schema_version": "2"}',
     '{"schema_version": 2, "finished": true, "records": 0, "shards": [null]}',
     '{"schema_version": 2, "finished": true, "records": %s, "shards": []}' % ("9" * 5000)],
)  # fmt: skip
def test_something_else_is_one_line(tmp_path, text) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(errors.UserError, match=r"manifest\.json: expected a finished manifest") as caught:
        manifest.read(str(tmp_path))
    assert "\n" not in str(caught.value)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.UserError, match="expected a finished manifest"):
        manifest.read(str(tmp_path))


def test_a_remote_manifest_names_no_file_outside_the_cache(tmp_path) -> None:
    found = written(tmp_path / "near")
    found["shards"][0]["sha256"] = "../../../escaped"
    system = fsspec.filesystem("memory")
    system.put(str(tmp_path / "near"), "/manifests/a", recursive=True)
    system.pipe_file("/manifests/a/manifest.json", json.dumps(found).encode())
    with pytest.raises(errors.UserError, match="expected a sha256 of 64 hex digits"):
        source.Shards("memory://manifests/a").open(tmp_path / "cache")
    del found["shards"][0]["sha256"]
    system.pipe_file("/manifests/a/manifest.json", json.dumps(found).encode())
    with pytest.raises(errors.UserError, match="expected its sha256 in the manifest, got none"):
        source.Shards("memory://manifests/a").open(tmp_path / "cache")[0]
    assert not list(tmp_path.rglob("*escaped*"))
    assert filesystem.file_type("memory://manifests/a/manifest.json") == "file"
    system.rm("/manifests", recursive=True)
