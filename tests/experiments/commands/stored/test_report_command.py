"""`prismlab report` of a run that the user may not change prints the table, or writes it elsewhere."""

import json
import pathlib

import pytest

from prismlab.core.io import temporary_files
from prismlab.experiments import main
from prismlab.experiments.report import html_report

RESULTS = [
    {
        "label": "a",
        "seed": 0,
        "metrics": {"m": {"value": 0.5, "n": 10, "protocol": {}}},
        "stages": ["s1-s0-00"],
    }
]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "run"
    (folder / "stages/s1-s0-00").mkdir(parents=True)
    event = {"kind": "train", "step": 1, "loss": 2.0, "time": 0.0}
    (folder / "stages/s1-s0-00/events.jsonl").write_text(json.dumps(event) + "\n")
    (folder / "config.gin").write_text("x = 1")
    (folder / "config.json").write_text(json.dumps({"name": "x"}))
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return folder


def test_a_read_only_run_is_printed_or_written_elsewhere(run, tmp_path, capsys, monkeypatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    make = temporary_files.tempfile.mkstemp

    def read_only(suffix: str, prefix: str, folder: pathlib.Path) -> tuple[int, str]:
        if folder == run:
            raise OSError(30, "Read-only file system", str(folder))
        return make(suffix, prefix, folder)

    monkeypatch.setattr(temporary_files.tempfile, "mkstemp", read_only)
    assert main.main(["report", str(run)]) == 0
    told = capsys.readouterr()
    assert "may not be written, so nothing is; --out FOLDER" in told.err
    assert "0.5" in told.out
    assert main.main(["report", str(run), "--out", str(tmp_path / "mine")]) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"table.json", "report.md", "report.html", "certificate.json"}
    assert html_report.rebuild(tmp_path / "mine").rows[0].label == "a"
    # What was asked for and cannot be done is an error.
    assert main.main(["report", str(run), "--out", str(run)]) == 2


def test_the_files_of_an_own_run_are_written_beside_it(run) -> None:
    assert main.main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "data:image/svg+xml" in page
    assert json.loads((run / "table.json").read_text())["logs"][0]["events"] == "stages/s1-s0-00/events.jsonl"
