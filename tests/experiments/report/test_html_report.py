"""The pages: the same bytes from the same files, nothing from elsewhere, nothing unescaped."""

import dataclasses
import html.parser
import re

import pytest

from prismlab.core import errors
from prismlab.core.events import event_log
from prismlab.experiments.report import figures, html_report, stage_logs
from prismlab.experiments.statistics import results_table, table_builder

HOSTILE = '<script>alert("1")</script>$\\frac$|`x`\x00\ud800'


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))


def make(folder, label="stage 2"):
    protocol = {"chance": 0.125, label: label}
    results = [
        results_table.Result(name, seed, {label: results_table.Score(0.5 + 0.1 * seed, 50, protocol)})
        for name in ("stage 1", label)
        for seed in (0, 1)
    ]
    logs = [results_table.Log(row, 0, label, "shared/events.jsonl") for row in ("stage 1", label)]
    logs.append(results_table.Log(label, 0, "second", "own/events.jsonl"))
    for name in ("shared", "own"):
        with event_log.EventLog(folder / name / "events.jsonl") as log:
            for step in range(5):
                log.write(step, "train", {"loss": 1.0 / (1 + step), "loss/masked": step, "speed": 3.0})
            log.write(5, "train", {"loss": float("nan")})
            log.write(5, "eval", {"loss": 9.0})
    table = table_builder.build_table(results, reference=["stage 1"], logs=logs, config=label, command=label)
    results_table.write_table(table, folder / "table.json")


def read_curves(folder, table):
    return stage_logs.curves(stage_logs.read(folder, table))


def test_files_give_the_same_bytes_twice(tmp_path):
    make(tmp_path)
    first = results_table.read_table(tmp_path / "table.json")
    assert html_report.rebuild(tmp_path) == first
    before = [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")]
    html_report.rebuild(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("report.html", "report.md")] == before


def test_hostile_words_stay_words(tmp_path):
    make(tmp_path, label=HOSTILE)
    html_report.rebuild(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags.seen}
    assert "&lt;script&gt;" in page
    sources = [attributes["src"] for _, attributes in tags.seen if "src" in attributes]
    # Forest plot, loss of each of two logs with its legend, and a second loss where there is one.
    assert len(sources) == 5
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not any(name.startswith("on") for _, attributes in tags.seen for name in attributes)
    assert "url(" not in page
    assert "<script" not in (tmp_path / "report.md").read_text()


def test_the_page_holds_numbers_protocols_and_configuration(tmp_path):
    make(tmp_path)
    html_report.rebuild(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0.550 [-0.09, 1.19]" in page
    assert "chance 0.125" in page
    assert re.search(r"<summary>config</summary><pre>stage 2</pre>", page)
    assert "<h3>second</h3>" in page


def test_a_shared_log_is_read_once_and_odd_values_are_left_out(tmp_path):
    make(tmp_path)
    found = read_curves(tmp_path, results_table.read_table(tmp_path / "table.json"))
    assert [(curve.label, curve.stage, curve.term) for curve in found] == [
        ("stage 1 (shared by 2 rows)", "stage 2", "loss"),
        ("stage 1 (shared by 2 rows)", "stage 2", "loss/masked"),
        ("stage 2", "second", "loss"),
        ("stage 2", "second", "loss/masked"),
    ]
    assert found[0].steps == (0, 1, 2, 3, 4)


def test_without_named_logs_the_folder_is_searched(tmp_path):
    make(tmp_path)
    table = dataclasses.replace(results_table.read_table(tmp_path / "table.json"), logs=None)
    found = read_curves(tmp_path, table)
    assert {curve.label for curve in found} == {"own", "shared"}


def test_a_long_log_becomes_a_curve_of_bounded_length(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_logs, "MOST_POINTS", 16)
    with event_log.EventLog(tmp_path / "events.jsonl") as log:
        for step in range(1, 1000):
            log.write(step, "train", {"loss": 2.0 * step})
    (found,) = read_curves(tmp_path, results_table.Table(()))
    assert 8 <= len(found.steps) <= 17
    assert found.values == pytest.approx([2.0 * step for step in found.steps])
    assert list(found.steps) == sorted(found.steps)
    assert (found.steps[0], found.steps[-1]) == (32.5, pytest.approx(980, abs=20))


def test_a_log_with_too_many_losses_is_refused(tmp_path):
    with event_log.EventLog(tmp_path / "events.jsonl") as log:
        log.write(1, "train", {f"loss/{number}": 1.0 for number in range(101)})
    with pytest.raises(errors.UserError, match="at most 100 losses"):
        read_curves(tmp_path, results_table.Table(()))


def test_figures_show_a_bounded_number_of_rows(tmp_path):
    rows = [f"row {number}" for number in range(200)]
    metrics = {"m": results_table.Score(0.5)}
    results = [results_table.Result(row, 0, metrics) for row in rows]
    results_table.write_table(table_builder.build_table(results, logs=[]), tmp_path / "table.json")
    html_report.rebuild(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "the first 30 rows; the tables have all" in page
    assert page.count(">row ") == 200
    lines = [figures.Curve(row, "s", 0, "loss", (1.0, 2.0), (3.0, 4.0)) for row in rows]
    assert figures.curve_panels(lines) == figures.curve_panels(lines[:30])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        html_report.rebuild(tmp_path)
    with pytest.raises(errors.UserError, match="folder of an ablation"):
        html_report.rebuild(tmp_path / "nowhere")
    make(tmp_path)
    (tmp_path / "own" / "events.jsonl").unlink()
    with pytest.raises(errors.UserError, match=r"own.*no such file"):
        html_report.rebuild(tmp_path)
