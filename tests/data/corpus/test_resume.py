"""What an earlier run left is trusted only as far as its checksums go."""

import json
import pathlib

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.corpus import clip_encoding, prepare_corpus, unit_sheet
from prismlab.data.corpus.inputs import images, media
from prismlab.data.records import shards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> prepare_corpus.Corpus:
    root = tmp_path_factory.mktemp("raw")
    for index in range(6):
        pixels = np.full((16, 16, 3), 40 * index, np.uint8)
        (root / f"{index}.jpg").write_bytes(b"" if index == 5 else clip_encoding.jpeg(pixels, 90))
        (root / f"{index}.txt").write_text(f"level {index}")
    source = images.Images(str(root), images_per_shard=2)
    return prepare_corpus.Corpus(source, clip_encoding.Jpeg(16), max_rejected=0.5)


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(corpus: prepare_corpus.Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert prepare_corpus.prepare(corpus, str(out)) is not None
    return files_of(out)


def flip(data: bytes, place: float = 0.5) -> bytes:
    at = int(len(data) * place)
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


DAMAGE = {
    "emptied": lambda data: b"",
    "cut": lambda data: data[:-100],
    "flipped": flip,
    "flipped at the start": lambda data: flip(data, 0.01),
    "longer": lambda data: data + b"more",
    "missing": lambda data: None,
}
WRITTEN = ("shard-000000.array_record", "shard-000002.array_record", "parts/000001.json", "parts/000002.json")


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("finished", [True, False])
def test_damaged_leftovers_are_written_again(corpus, whole, tmp_path, name, damage, finished) -> None:
    for each, data in whole.items():
        changed = DAMAGE[damage](data) if each == name else data
        if changed is not None and (finished or each != "manifest.json"):
            (tmp_path / each).parent.mkdir(exist_ok=True)
            (tmp_path / each).write_bytes(changed)
    assert prepare_corpus.prepare(corpus, str(tmp_path)) is not None
    assert files_of(tmp_path) == whole
    shards.ShardReader(tmp_path).verify()


@pytest.mark.parametrize(
    "text",
    ["{", "null", "[]", "7", "{}", '{"digest": 7}', "[" * 100_000, "\x00", '{"a": NaN}', '{"number": -1}',
     '{"a": %s}' % ("9" * 5000), '{"statistics": {"clips": null}}'],
)  # fmt: skip
def test_a_sheet_of_something_else_is_written_again(corpus, whole, tmp_path, text) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path))
    (tmp_path / "parts/000001.json").write_text(text)
    assert prepare_corpus.prepare(corpus, str(tmp_path)) is not None
    assert files_of(tmp_path) == whole


def test_another_part_with_damage_is_written_again(corpus, whole, tmp_path) -> None:
    assert prepare_corpus.prepare(corpus, str(tmp_path), part=(2, 2)) is None
    (tmp_path / "shard-000001.array_record").write_bytes(b"cut")
    (tmp_path / "parts/000001.json").write_bytes(flip(whole["parts/000001.json"]))
    assert prepare_corpus.prepare(corpus, str(tmp_path), part=(1, 2)) is not None
    assert files_of(tmp_path) == whole


def test_a_sheet_that_was_changed_by_hand_is_no_other_input(corpus, whole, tmp_path) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path))
    path = tmp_path / "parts/000001.json"
    sheet = unit_sheet.read(str(tmp_path), 1)
    assert sheet is not None
    path.write_bytes(path.read_bytes().replace(sheet.unit.encode(), b"0" * 16))
    assert prepare_corpus.prepare(corpus, str(tmp_path)) is not None
    assert files_of(tmp_path) == whole
    other = unit_sheet.Sheet("0" * 16, 1, sheet.shard, sheet.statistics, sheet.rejected)
    path.write_bytes(other.encoded())
    with pytest.raises(media.Stop, match="the input has changed"):
        prepare_corpus.prepare(corpus, str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 7}', "[" * 100_000])
def test_a_damaged_spec_is_one_line(corpus, tmp_path, text) -> None:
    (tmp_path / "prepare.json").write_text(text)
    with pytest.raises(errors.UserError, match=r"prepare\.json: expected the spec of this folder"):
        prepare_corpus.prepare(corpus, str(tmp_path))


def test_a_redone_shard_is_told(corpus, tmp_path, caplog) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path))
    (tmp_path / "shard-000000.array_record").write_bytes(b"")
    prepare_corpus.prepare(corpus, str(tmp_path))
    assert [line for line in caplog.messages if "is written again" in line] == [
        f"{tmp_path}/parts/000000.json: the sheet or its shard is damaged; this shard is written again"
    ]
    assert json.loads((tmp_path / "manifest.json").read_text())["statistics"]["rejected"] == 1
