"""The table of `prismlab eval` says beside each task what its reader left out."""

import dataclasses

import pytest

from prismlab.core import errors
from prismlab.experiments import console
from prismlab.experiments.report.evaluation_page import earlier_scores, evaluation_report


def line(metric, **facts):
    return evaluation_report.Shown("k400", metric, 0.5, None, 10, 2, None, {"protocol": "16 frames", **facts})


def test_what_was_left_out_is_printed_once_for_each_task(tmp_path, capsys):
    facts = {"rows left out": "3 x empty caption", "size": "10 clips annotated, 20 published", "grid": []}
    lines = [line("top-1", **facts), line("top-5", **facts)]
    evaluation_report.print_table(lines, "encoder", console.make_console())
    shown = capsys.readouterr().out
    for text in ("k400: rows left out: 3 x empty caption", "k400: size: 10 clips annotated, 20 published"):
        assert shown.count(text) == 1
    assert "grid" not in shown
    evaluation_report.write(lines, "title", "encoder", tmp_path)
    assert "- k400: rows left out: 3 x empty caption\n" in (tmp_path / "evaluation.md").read_text()


def test_how_the_intervals_were_computed_is_said_once(tmp_path, capsys):
    first = dataclasses.replace(line("top-1"), interval=0.1, interval_by="standard error")
    lines = [first, dataclasses.replace(first, metric="mAP", interval_by="jackknife"), line("no interval")]
    evaluation_report.print_table([*lines, first], "encoder", console.make_console())
    told = "95% intervals over items: standard error (top-1); jackknife (mAP)"
    assert " ".join(capsys.readouterr().out.split()).count(told) == 1
    evaluation_report.write(lines, "title", "encoder", tmp_path)
    assert f"- {told}\n" in (tmp_path / "evaluation.md").read_text()
    assert told in (tmp_path / "evaluation.html").read_text()
    assert evaluation_report.methods([line("top-1")]) == ""


def test_examples_stand_beside_their_frames_and_what_was_not_computed_is_said(tmp_path):
    examples = [{"key": "clip 7", "picture": "aGVsbG8=", "lines": [["says", "a <red> star"]]}]
    lines = [line("CIDEr", examples=examples, **{"not computed": "WUPS: no WordNet"}), line("other")]
    evaluation_report.write(lines, "title", "encoder", tmp_path)
    page = (tmp_path / "evaluation.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,aGVsbG8=" alt="frames of clip 7">') == 1
    assert "<b>says</b> a &lt;red&gt; star" in page
    assert "- k400: not computed: WUPS: no WordNet\n" in (tmp_path / "evaluation.md").read_text()
    assert page.count("aGVsbG8") == 1


def test_segments_boxes_and_groups_are_drawn_beside_the_paper(tmp_path):
    plain = {"key": "clip", "picture": "aGVsbG8=", "lines": []}
    rows = [["annotated", [[0, 6, 1, 1.0]]], ["says", [[0, 6, 1, 1.0], [3, 9, 2, 0.4]]]]
    time = {**plain, "time": {"seconds": 12, "classes": 4, "rows": rows}}
    space = {**plain, "keyframe": "aGVsbG8=", "boxes": [["detected", 1, [0, 0.25, 0.5, 0.75]]]}
    times = dataclasses.replace(
        line("mAP", examples=[time], **{"shuffled-labels control": 0.25}), interval=0.1, group="video",
        otherwise="rendered world: not comparable",
    )  # fmt: skip
    boxes = dataclasses.replace(line("frame mAP", examples=[space]), task="AVA", group="video", paper=0.31,
                                giant=0.36)  # fmt: skip
    evaluation_report.write([times, boxes], "title", "encoder", tmp_path)
    page = (tmp_path / "evaluation.html").read_text()
    assert '<rect x="25.0%" width="50.0%" y="20"' in page  # the second lane
    assert page.count('<svg class="time" height="20"') == page.count('<svg class="time" height="38"') == 1
    assert "White: annotated. Yellow, dashed: detections." in page
    assert '<rect class="detected" x="0%" y="25.0%" width="50.0%" height="50.0%"/>' in page
    assert "frame mAP</b>: this encoder 50.0, VideoPrism-B 31.0, VideoPrism-g 36.0" in page
    assert "this encoder 50.0, control" not in page  # another metric, which the paper does not have
    evaluation_report.write([times], "title", "encoder", tmp_path)
    page = (tmp_path / "evaluation.html").read_text()
    assert "mAP</b>: this encoder 50.0, control 25.0" in page
    assert "k400. Rendered world: not comparable" in page
    assert 'class="base"' in page  # in the legend
    assert "<path" not in page[page.index('<div class="marks">') : page.index("<h2>Bars")]


def test_encoders_of_the_same_work_directory_stand_beside_each_other(tmp_path):
    def page(encoder, value, *more, digest="", **changes):
        one = dataclasses.replace(line("top-1"), value=value, **changes)
        evaluation_report.write([one, *more], "title", encoder, tmp_path, digest or encoder)
        return (tmp_path / "evaluation.html").read_text()

    assert "Grey: encoders" not in page("first <1>", 0.25)
    second = page("second", 0.5, line("mAP"))
    assert 'aria-label="k400: top-1, first &lt;1&gt;: 0.250"><b style="width:25.0%">' in second
    assert second.count('class="name before"') == 1  # of mAP there is no other
    assert "second: " not in page("second", 0.75), "an encoder does not stand beside itself"
    other = page("third", 0.5, n=11)
    assert 'class="name before"' not in other  # other test items
    assert "Grey: encoders" not in other
    again = page("fourth", 0.5, line("mAP"))
    assert "k400: top-1, second: 0.750" in again
    assert "k400: mAP, second: 0.500" in again, "a task that was not evaluated again stays"
    for number in range(10):
        last = page(f"more {number}", float("nan") if number == 5 else 0.5)
    shown = [f"more {number}" in last for number in range(9)]
    assert shown == [False, False, True, True, True, False, True, True, True]
    (tmp_path / earlier_scores.FILE).write_text('{"encoders": [1]}')
    with pytest.raises(errors.UserError, match=r"evaluations\.json cannot be read .*delete it"):
        page("last", 0.5)
