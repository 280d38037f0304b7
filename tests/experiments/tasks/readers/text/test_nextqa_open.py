"""NExT-QA open-ended: second references of the test split, types, files of the multiple choice."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.readers.text import nextqa_open
from tests.experiments.tasks.readers import written

TABLE = """video,frame_count,width,height,question,answer,qid,type
9,300,640,480,why did  she sit,to rest,0,CW
9,300,640,480,what then,stand up,1,TP
8,300,640,480,is it red,,0,DB
8,300,640,480,is it red,yes,1,DB
8,300,640,480
"""


def reader(tmp_path, table=TABLE, second=None):
    return nextqa_open.NextQaOpen(
        written.videos(tmp_path, "1164/0099.mp4"),
        val=written.text(tmp_path, "val.csv", table),
        test=written.text(tmp_path, "test.csv", table),
        second=written.plain(tmp_path, "second.json", {"9": {"0": "to relax"}} if second is None else second),
        video_map=written.plain(tmp_path, "map.json", {"9": "1164/0099"}),
    )


def test_questions_of_a_video_and_their_second_answers(tmp_path):
    found = reader(tmp_path).read("test", tmp_path)
    assert [(each.key, each.answers, each.kind) for _, each in texts.questions_of(found)] == [
        ("0", ("to rest", "to relax"), "CW"),
        ("1", ("stand up",), "TN"),
        ("1", ("yes",), "DB"),
    ]
    assert found.items[0].path.endswith("1164/0099.mp4")
    assert found.notes["types"] == "CW 1, DB 1, TN 1"
    assert found.notes["variant"] == "1 questions with a second reference"
    assert found.notes["rows left out"] == (
        "1 x question without words or without an answer (first: line 4); "
        "1 x expected 8 columns, found 4 (first: line 6)"
    )
    val = reader(tmp_path).read("val", tmp_path)
    assert val.notes["variant"] == "one reference"
    assert texts.questions_of(val)[0][1].answers == ("to rest",)


def test_files_of_the_multiple_choice_and_of_another_release_are_refused(tmp_path):
    choice = "video,question,answer,qid,type,a0\n9,why,2,0,CW,run\n"
    with pytest.raises(errors.UserError, match="found the columns a0 to a4; give the file of NExT-OE"):
        reader(tmp_path, choice).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="found none; are both of one release"):
        reader(tmp_path, second={"7": {"0": "x"}}).read("test", tmp_path)
    with pytest.raises(errors.UserError, match="no annotation file for split 'train'"):
        dataclasses.replace(reader(tmp_path)).read("train", tmp_path)
