"""Files of strangers: old tables are read, and any damage is answered with one line."""

import copy
import json
import math
import pathlib

import pytest

from prismlab.core import errors
from prismlab.experiments.results import gather
from prismlab.experiments.statistics import cells, results_table, table_builder

RECORDS = pathlib.Path(__file__).resolve().parents[3] / "experiments/records"
DELETED = object()
DEEP = [[]]
for _ in range(90):
    DEEP = [DEEP]
ODD = (DELETED, None, True, -1, 1e308, math.nan, math.inf, 10**400, "", "\x1b]0;x\x07", [], {}, DEEP, [None])


def score(value):
    return {"value": value, "n": 10, "protocol": {"chance": 0.5, "views": [1, 2]}}


RESULTS = [
    {"label": label, "seed": seed, "metrics": {"m": score(0.1 * seed)}, "stages": ["s1-s0-00"]}
    for label in ("a", "b")
    for seed in (0, 1)
]
CONFIG = {"name": "x", "compare_with": ["a"], "seeds": [0, 1]}


def variants(value):
    """Yield copies of a JSON value in which one part is odd or missing."""

    def walk(part):
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            kept = part[key]
            for odd in ODD:
                if odd is DELETED:
                    if isinstance(part, list):
                        continue
                    del part[key]
                else:
                    part[key] = odd
                yield json.dumps(whole)
                part[key] = kept
            if isinstance(kept, dict | list):
                yield from walk(kept)

    whole = copy.deepcopy(value)
    yield from (json.dumps(odd) for odd in ODD if odd is not DELETED)
    yield from walk(whole)


def answered(action):
    """Return whether an action succeeds; a UserError must have one line."""
    told = "answered"
    try:
        action()
    except errors.UserError as error:
        told = str(error)
    assert told.isprintable(), repr(told)  # one line, without control characters
    return told == "answered"


def test_every_odd_results_file_gives_a_table_or_one_line(tmp_path):
    def build():
        results = results_table.read_results(tmp_path / "results.json")
        reference = [entry.label for entry in results][:1]
        results_table.write_table(table_builder.build_table(results, reference=reference), tmp_path / "t")
        cells.grid(results_table.read_table(tmp_path / "t"))

    outcomes = []
    for text in variants(RESULTS):
        (tmp_path / "results.json").write_text(text)
        outcomes.append(answered(build))
    assert outcomes.count(False) > 200
    assert outcomes.count(True) > 50


def test_every_odd_table_is_shown_or_answered_in_one_line(tmp_path):
    results = [results_table.Result("a", seed, {"m": results_table.Score(seed / 9, 4)}) for seed in (0, 1)]
    results += [results_table.Result("b", seed, {"m": results_table.Score(seed / 7, 4)}) for seed in (0, 1)]
    table = table_builder.build_table(results, reference=["a"], title="x", logs=[], config="c")
    path = tmp_path / "table.json"

    def show():
        found = results_table.read_table(path)
        cells.grid(found)
        cells.comparison_grid(found.paired)
        results_table.write_table(found, tmp_path / "again.json")

    outcomes = []
    for text in variants(table.plain()):
        path.write_text(text)
        outcomes.append(answered(show))
    assert outcomes.count(False) > 200


@pytest.mark.parametrize("name", ["results.json", "config.json", "config.gin"])
def test_report_of_odd_files_never_ends_in_a_traceback(tmp_path, name):
    (tmp_path / "config.gin").write_bytes(b"\xff\x00\x1b" if name == "config.gin" else b"x = 1")
    for file, value in (("results.json", RESULTS), ("config.json", CONFIG)):
        (tmp_path / file).write_text(json.dumps(value))
    assert answered(lambda: gather.again(tmp_path))
    if name == "config.gin":
        return
    value = RESULTS if name == "results.json" else CONFIG
    odd = [value[0] | {"label": 3}] if name == "results.json" else value | {"name": None}
    for text in (json.dumps(odd), "[" * 5000, "NaN", "[1e999]"):
        (tmp_path / name).write_text(text)
        assert not answered(lambda: gather.again(tmp_path))


def test_logs_outside_the_folder_are_not_read():
    for events in ("/etc/hostname", "../x/events.jsonl", "a/../../b"):
        with pytest.raises(ValueError, match="below the folder"):
            results_table.Log("a", 0, "s", events)
    for stage in ("..", "a/b", ""):
        with pytest.raises(ValueError, match="names of folders"):
            results_table.Result("a", 0, {}, (stage,))


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*-table.json")), ids=lambda path: path.name)
def test_tables_of_earlier_versions_are_read_without_their_shared_correction(path):
    table = results_table.read_table(path)
    written = json.loads(path.read_text())
    for entry in written["paired"]:
        del entry["p"], entry["p_holm"]
    assert json.loads(json.dumps(table.plain())) == written
    assert cells.grid(table)
