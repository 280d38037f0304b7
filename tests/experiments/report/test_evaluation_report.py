"""The table of `prismlab eval` says beside each task what its reader left out."""

import dataclasses

from prismlab.experiments import console
from prismlab.experiments.report import evaluation_report


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
    assert page.count('<img src="data:image/jpeg;base64,aGVsbG8=" alt="four frames of clip 7">') == 1
    assert "<b>says</b> a &lt;red&gt; star" in page
    assert "- k400: not computed: WUPS: no WordNet\n" in (tmp_path / "evaluation.md").read_text()
    assert page.count("aGVsbG8") == 1
