"""MSR-VTT: repeated sentences of 1kA, several captions a clip, empty captions, captions of no clip."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import msrvtt
from tests.experiments.tasks.readers import written

ONE_KA = """key,vid_key,video_id,sentence
ret0,msr7020,video7020,a cat jumps
ret1,msr7021,video7021,"a cat, jumping"
ret2,msr7022,video7022,a  cat jumps
ret3,msr7023,video7023,
ret4,msr7024
"""


def test_the_1ka_list_names_sentences_that_occur_twice(tmp_path):
    root = written.videos(tmp_path, "video7020.mp4", "video7022.mp4")
    found = msrvtt.OneKa(root, written.text(tmp_path, "test.csv", ONE_KA)).read("test", tmp_path)
    assert [(item.key, item.texts) for item in found.items] == [
        ("video7020", ("a cat jumps",)),
        ("video7021", ("a cat, jumping",)),
        ("video7022", ("a cat jumps",)),
    ]
    assert found.notes["repeated captions"] == "1 captions belong to several clips, 2 clips in all"
    assert found.notes["rows left out"] == (
        "1 x empty caption (first: line 5); 1 x expected 4 columns, found 2 (first: line 6)"
    )
    assert found.notes["size"] == "3 clips annotated, 1000 published"
    assert written.missing(found) == ["video7021"]
    assert found.classes == ()


def data():
    clip = lambda name, split: {
        "video_id": name,
        "split": split,
        "category": 1,
        "start time": 1.0,
        "end time": 9.0,
    }
    say = lambda number, name, text: {"sen_id": number, "video_id": name, "caption": text}
    return {
        "videos": [clip("video1", "train"), clip("video2", "validate"), clip("video3", "test"),
                   clip("video4", "test"), clip("video5", "test"), "video6"],
        "sentences": [say(1, "video3", "one"), say(2, "video4", "two"), say(3, "video3", "three"),
                      say(4, "video3", " "), say(5, "video9", "nine"), say(6, "video1", "train")],
    }  # fmt: skip


def test_the_full_split_keeps_every_caption(tmp_path):
    root = written.videos(tmp_path, "video3.mp4", "video4.mp4")
    reader = msrvtt.Full(root, written.plain(tmp_path, "MSRVTT_data.json", data()))
    found = reader.read("test", tmp_path)
    assert [(item.key, item.texts) for item in found.items] == [
        ("video3", ("one", "three")),
        ("video4", ("two",)),
    ]
    # Times of the file are those of the YouTube video; the clips are cut already.
    assert found.items[0].start is None
    assert found.notes["rows left out"] == (
        "1 x empty caption (first: sentence 4); 1 x caption of no clip (first: sentence 5: video9); "
        "1 x clip without a caption (first: video 5: video5)"
    )
    first = dataclasses.replace(reader, most_captions=1).read("test", tmp_path)
    assert [item.texts for item in first.items] == [("one",), ("two",)]
    with pytest.raises(errors.UserError, match="no clip is left"):
        reader.read("val", tmp_path)


def test_another_file_is_refused(tmp_path):
    path = written.plain(tmp_path, "vatex.json", {"database": {}})
    with pytest.raises(errors.UserError, match="expected a list 'videos', found keys 'database'"):
        msrvtt.Full(written.videos(tmp_path), path).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="columns video_id, sentence, found 'id'"):
        msrvtt.OneKa(written.videos(tmp_path), written.text(tmp_path, "t.csv", "id\n1\n")).read(
            "test", tmp_path
        )
