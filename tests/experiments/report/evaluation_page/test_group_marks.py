"""The picture over groups has a row for each group and metric, and the paper's marks only on equal data."""

import math

import pytest

from prismlab.experiments.report.evaluation_page import group_marks

WORLD = "rendered world: not comparable"


def point(group, task, metric, value, **more):
    return group_marks.Point(group, task, metric, value, **more)


def test_scores_of_the_paper_stand_alone_in_their_row():
    points = [
        point("text", "MSRVTT", "R@1", 0.4, base=0.5, giant=0.6),
        point("text", "MSRVTT", "R@5", 0.9, otherwise="no such score in the paper"),
        point("text", "VATEX", "R@1", 0.6, base=0.7, giant=0.8),
        point("text", "made up", "R@1", 1.0, otherwise=WORLD),
    ]
    (row,) = group_marks.rows(points)
    assert (row.group, row.metric, row.tasks) == ("text", "R@1", ("MSRVTT", "VATEX"))
    assert [round(each, 6) for each in (row.value, row.base, row.giant)] == [50, 60, 70]
    assert row.low is None  # an interval of a mean over tasks is not known
    assert row.otherwise == ""
    assert row.said() == "this encoder 50.0, VideoPrism-B 60.0, VideoPrism-g 70.0"


def test_other_tasks_show_their_first_score_their_control_and_why_there_is_no_mark():
    points = [
        point("video", "times", "mAP", 0.2, interval=0.02, control=0.05, otherwise=WORLD),
        point("video", "times", "mAP, shuffled labels", 0.05, otherwise=WORLD),
        point("words", "captions", "CIDEr", 2.4, interval=0.1, control=0.6, otherwise=WORLD),
        point("", "my own", "score", 0.3, otherwise="no such score in the paper"),
        point("video", "broken", "mAP", math.nan, otherwise=WORLD),
    ]
    times, captions, own = group_marks.rows(points)
    assert times.said() == "this encoder 20.0, control 5.0"
    assert (times.at(times.low), times.at(times.high)) == ("18.00%", "22.00%")
    assert times.otherwise == WORLD
    assert times.base is None
    # CIDEr may exceed 100: the axis grows in whole hundreds.
    assert captions.top == 300
    assert captions.at(captions.value) == "80.00%"
    assert own.group == "other tasks"
    assert group_marks.rows([]) == []


@pytest.mark.parametrize(("value", "top"), [(0.0, 100), (1.0, 100), (1.01, 200)])
def test_the_axis_ends_at_a_whole_hundred(value, top):
    assert group_marks.rows([point("video", "a", "m", value)])[0].top == top
