"""NExT-QA: rows of ATP-hard by number, videos by the map, a question twice, wrong rows."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers.text import nextqa
from tests.experiments.tasks.readers import written

TABLE = """video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
8,9,640,480,what colour,0,0,DL,red,blue,green,black,white
9,300,640,480,why did  she sit,2,0,CW,run,eat,to rest,hot,wet
9,300,640,480,why did she sit,2,0,CW,run,eat,to rest,hot,wet
7,300,640,480,what then,4,3,TN,run,run,sit,stop,walk
7,300,640,480,how,5,4,CH,a,b,c,d,e
7,300,640,480,how,1,5,CH,a,,c,d,e
"""


def reader(tmp_path, hard="1\n2\n3\n4\n5\n6\n", table=TABLE):
    return nextqa.NextQa(
        written.videos(tmp_path, "1164/0099.mp4", "7.mp4"),
        written.text(tmp_path, "val.csv", table),
        written.plain(tmp_path, "map.json", {"9": "1164/0099"}),
        written.text(tmp_path, "atp-hard.txt", hard) if hard else "",
    )


def test_the_listed_rows_are_questions_with_five_options(tmp_path):
    found = reader(tmp_path).read("val", tmp_path)
    assert [(item.key, item.answer, item.group) for item in found.items] == [("9/0", 2, "9"), ("7/3", 4, "7")]
    assert found.items[0].texts == ("run", "eat", "to rest", "hot", "wet")
    assert found.items[0].extra == {"question": "why did she sit", "type": "CW"}
    assert [item.path[-8:] for item in found.items] == ["0099.mp4", "os/7.mp4"]
    assert found.notes["types"] == "CW 1, TN 1"
    assert found.notes["questions with two equal options"] == 1
    assert found.notes["size"] == "2 clips annotated, 2269 published"
    for part in (
        "1 x the clip occurs before (first: line 4: 9/0)",
        "1 x row without question or answer 0 to 4 (first: line 6)",
        "1 x question with fewer than five options (first: line 7)",
        "1 x row number beyond the 6 rows of val (first: line 6: 6)",
    ):
        assert part in found.notes["rows left out"]


def test_other_types_are_named_and_all_rows_are_read_without_a_list(tmp_path):
    assert (
        "causal and temporal questions only" in reader(tmp_path, "0\n").read("val", tmp_path).notes["warning"]
    )
    whole = reader(tmp_path, "").read("val", tmp_path)
    assert [item.key for item in whole.items] == ["8/0", "9/0", "7/3"]
    assert written.missing(whole) == ["8/0"]
    assert whole.notes["size"] == "3 clips annotated, 4996 published"


def test_other_files_are_refused(tmp_path):
    with pytest.raises(errors.UserError, match="expected row numbers, found '9_0'"):
        reader(tmp_path, "9_0\n").read("val", tmp_path)
    table = "video,frame_count,width,height,question,answer,qid,type\n9,300,640,480,why,rest,0,CW\n"
    with pytest.raises(errors.UserError, match="open-ended files have no a0 to a4"):
        reader(tmp_path, table=table).read("val", tmp_path)
    with pytest.raises(errors.UserError, match=r"no annotation file for split 'test' \(given: val\)"):
        dataclasses.replace(reader(tmp_path)).read("test", tmp_path)
