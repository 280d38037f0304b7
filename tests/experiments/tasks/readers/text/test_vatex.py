"""VATEX: which test set it is, chosen parts, empty captions, ids that begin with signs."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import vatex
from tests.experiments.tasks.readers import written

CLIPS = [
    {"videoID": "-bCdEfGhIj__000010_000020", "enCap": ["a man juggles", "juggling"], "chCap": ["x"]},
    {"videoID": "AbCdEfGhIjk_000000_000010", "enCap": ["", "a dog", 3]},
    {"videoID": "BbCdEfGhIjk_000000_000010", "chCap": ["x"]},
    {"videoID": "CbCdEfGhIjk_000000_000010", "enCap": ["a dog"]},
    {"videoID": "short", "enCap": ["a"]},
    [],
]


def reader(tmp_path, **fields):
    root = written.videos(tmp_path, "-bCdEfGhIj__000010_000020.mp4")
    return vatex.Vatex(root, test=written.plain(tmp_path, "public.json", CLIPS), **fields)


def test_captions_and_clips(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    assert [item.texts for item in found.items] == [("a man juggles", "juggling"), ("a dog",), ("a dog",)]
    assert found.items[0].path
    assert found.items[0].group == "-bCdEfGhIj_"
    assert found.notes["variant"] == "none of the published sets (3 clips)"
    assert found.notes["repeated captions"].startswith("1 captions")
    for part in ("2 x empty caption", "1 x clip without an English caption (first: entry 3", "2 x videoID"):
        assert part in found.notes["rows left out"]
    first = reader(tmp_path, most_captions=1).read("test", tmp_path)
    assert first.items[0].texts == ("a man juggles",)


def test_the_variant_is_named_by_its_size(tmp_path):
    rows = [{"videoID": f"id{i}_000000_000010", "enCap": [f"c{i}"]} for i in range(1500)]
    made = vatex.Vatex(written.videos(tmp_path), val=written.plain(tmp_path, "val.json", rows))
    assert made.read("val", tmp_path).notes["variant"] == "1,500 clips of validation (HGR)"


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_a_list_chooses_a_part(tmp_path, ending):
    ids = ["CbCdEfGhIjk_000000_000010", "DbCdEfGhIjk_000000_000010"]
    write = written.plain if ending == "json" else written.text
    chosen = write(tmp_path, f"ids.{ending}", ids if ending == "json" else "\n".join(ids))
    found = reader(tmp_path, chosen=chosen).read("test", tmp_path)
    assert [item.key for item in found.items] == ids[:1]
    assert "1 x listed id without annotation (first: " in found.notes["rows left out"]


def test_another_file_is_refused(tmp_path):
    path = written.plain(tmp_path, "x.json", {"videos": []})
    with pytest.raises(errors.UserError, match=r"the clips of VATEX .*found dict"):
        dataclasses.replace(reader(tmp_path), test=path).read("test", tmp_path)
