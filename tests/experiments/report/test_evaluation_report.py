"""The table of `prismlab eval` says beside each task what its reader left out."""

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
