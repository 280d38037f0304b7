"""ActivityNet paragraphs: sentences in order, prefixes of ids, times that do not fit."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import activitynet_paragraphs
from tests.experiments.tasks.readers import written

VIDEOS = {
    "v_abcdefghijk": {
        "duration": 60.0, "timestamps": [[0, 9.5], [8, 60]], "sentences": ["A man sits. ", "He  stands."],
    },
    "v_-bcdefghijk": {"duration": 9.0, "timestamps": [[0, 9.5]], "sentences": ["One.", " ", "Two."]},
    "v_cbcdefghijk": {"duration": 9.0, "timestamps": [], "sentences": []},
    "v_dbcdefghijk": {"duration": 9.0},
}  # fmt: skip


def reader(tmp_path, **fields):
    root = written.videos(tmp_path, "v_abcdefghijk.mp4", "-bcdefghijk.mkv")
    return activitynet_paragraphs.Paragraphs(
        root, val=written.plain(tmp_path, "val_1.json", VIDEOS), **fields
    )


def test_sentences_become_one_paragraph(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert [(item.key, item.texts) for item in found.items] == [
        ("v_abcdefghijk", ("A man sits. He stands.",)),
        ("v_-bcdefghijk", ("One. Two.",)),
    ]
    # Videos are found with and without the prefix.
    assert [item.path.rpartition("/")[2] for item in found.items] == ["v_abcdefghijk.mp4", "-bcdefghijk.mkv"]
    assert found.items[0].extra["segments"] == ((0, 9.5), (8, 60))
    assert found.items[1].extra["segments"] == ()
    left_out = found.notes["rows left out"]
    for part in (
        "1 x empty caption (first: v_-bcdefghijk)",
        "1 x as many times as sentences",
        "1 x video without a caption (first: v_cbcdefghijk)",
        "1 x video without sentences (first: v_dbcdefghijk)",
    ):
        assert part in left_out
    assert found.notes["size"] == "2 clips annotated, 4917 published"


def test_a_list_chooses_videos_and_other_files_are_refused(tmp_path):
    chosen = written.plain(tmp_path, "val_ids.json", ["v_abcdefghijk"])
    assert len(reader(tmp_path, chosen=chosen).read("val", tmp_path)) == 1
    other = written.plain(tmp_path, "x.json", {"version": "1.3", "database": {}})
    with pytest.raises(errors.UserError, match="no clip is left; 2 x video without sentences"):
        dataclasses.replace(reader(tmp_path), val=other).read("val", tmp_path)
