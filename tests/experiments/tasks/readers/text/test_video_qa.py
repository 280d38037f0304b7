"""MSRVTT-QA and MSVD-QA: numbers become names of videos, wrong rows are counted, clips are read once."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.readers.text import video_qa
from tests.experiments.tasks.readers import written

ROWS = [
    {"answer": "man", "category_id": 3, "id": 1, "question": "who  runs?", "video_id": 7},
    {"answer": "talk", "category_id": 3, "id": 2, "question": "what is a woman doing?", "video_id": 7},
    {"answer": "dog", "category_id": 3, "id": 2, "question": "what barks?", "video_id": 7},
    {"answer": "", "category_id": 3, "id": 3, "question": "who sits?", "video_id": 8},
    {"answer": "cat", "category_id": 3, "id": 4, "question": "who sits?", "video_id": "8x"},
    {"answer": "ice cream", "category_id": 3, "id": 5, "question": "what melts?", "video_id": 8},
    {"id": 6},
]


def test_questions_belong_to_their_clip(tmp_path):
    root = written.videos(tmp_path, "video7.mp4")
    found = video_qa.MsrvttQa(root, test=written.plain(tmp_path, "test_qa.json", ROWS)).read("test", tmp_path)
    assert [(item.key, bool(item.path)) for item in found.items] == [("video7", True), ("video8", False)]
    asked = texts.questions_of(found)
    assert [(row, each.key, each.text, each.answers, each.kind) for row, each in asked] == [
        (0, "1", "who runs?", ("man",), "who"),
        (0, "2", "what is a woman doing?", ("talk",), "what"),
        (1, "5", "what melts?", ("ice cream",), "what"),
    ]
    assert found.notes["rows left out"] == (
        "1 x the question occurs before (first: row 3: video7 2); "
        "1 x question without words or without an answer (first: row 4); "
        "2 x row without a video, question or answer (first: row 5)"
    )
    assert found.notes["size"] == "3 questions, 72821 published"
    assert [each.key for each in texts.references(found, asked)] == ["video7 1", "video7 2", "video8 5"]


def test_msvd_names_videos_by_its_mapping(tmp_path):
    root = written.videos(tmp_path, "AbC-1_10_20.avi")
    data = written.plain(tmp_path, "val_qa.json", ROWS[:2])
    mapping = written.text(tmp_path, "youtube_mapping.txt", "AbC-1_10_20 vid7\nXyZ_1_2 vid8\n")
    found = video_qa.MsvdQa(root, val=data, mapping=mapping).read("val", tmp_path)
    assert found.items[0].path.endswith("AbC-1_10_20.avi")
    plain = video_qa.MsvdQa(root, val=data).read("val", tmp_path)
    assert plain.items[0].key == "vid7"
    wrong = written.text(tmp_path, "wrong.txt", "7 8 9\n")
    with pytest.raises(errors.UserError, match="line 1: expected a name and vidN, found '7 8 9'"):
        video_qa.MsvdQa(root, val=data, mapping=wrong).read("val", tmp_path)


def test_another_file_is_refused(tmp_path):
    path = written.plain(tmp_path, "vatex.json", [{"videoID": "a", "enCap": []}])
    with pytest.raises(errors.UserError, match="expected rows with question, answer and video_id, found"):
        video_qa.MsrvttQa(written.videos(tmp_path), test=path).read("test", tmp_path)
