"""The table: its written form, its comparisons, and how it is shown in a terminal."""

import dataclasses
import io
import json

import example_tables
import hypothesis
import pytest
import rich.console
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.report import terminal_table
from prismlab.experiments.statistics import cells, results_table, table_builder

few = hypothesis.settings(max_examples=25, deadline=None)
PROTOCOL = {"pooling": "attentive probe", "frames": 8, "views": 1, "test_clips": 100, "chance": 0.125}


def result(label, seed, value, *, name="motion", n=100, **protocol):
    return results_table.Result(label, seed, {name: results_table.Score(value, n, PROTOCOL | protocol)})


def shown(table, width=100, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    terminal_table.print_table(table, rich.console.Console(file=stream, width=width, highlight=False))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def small_table():
    rows = {"stage 1": [0.5, 0.4], "stage 2": [0.6, 0.55]}
    results = [
        result(label, seed, value) for label, values in rows.items() for seed, value in enumerate(values)
    ]
    return table_builder.build_table(results, reference=["stage 1"], command="prismlab run x.gin")


@few
@hypothesis.given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4)), st.floats(0, 1), min_size=1, max_size=12
    )
)
def test_a_table_survives_the_disk_and_has_its_schema(tmp_path_factory, values):
    results = [result(label, seed, value) for (label, seed), value in values.items()]
    table = table_builder.build_table(results, reference=[results[0].label], config="x = 1")
    path = tmp_path_factory.mktemp("table") / "table.json"
    results_table.write_table(table, path)
    assert results_table.read_table(path) == table
    assert list(json.loads(path.read_text())) == ["rows", "reference", "paired", "config"]
    for row in table.rows:
        for cell in row.metrics.values():
            assert len(cell.values) == len(cell.sizes) == len(row.seeds)
            assert cell.ci95[0] <= cell.mean <= cell.ci95[1]
            assert cell.protocol == PROTOCOL
    assert shown(table)


def test_rows_are_compared_over_the_seeds_they_share():
    results = [result("a", seed, value) for seed, value in [(0, 0.5), (1, 0.4), (2, 0.1)]]
    results += [result("b", seed, value) for seed, value in [(2, 0.3), (1, 0.5), (7, 0.9)]]
    (entry,) = table_builder.build_table(results, reference=["a"]).paired
    assert (entry.row, entry.reference, entry.seeds, entry.n) == ("b", "a", (1, 2), 2)
    assert entry.difference == pytest.approx(0.15)
    assert entry.note == "2 seeds in one row only; seeds only"


def test_two_references_are_compared_once():
    results = [
        result(label, seed, value) for label, value in [("a", 0.1), ("b", 0.2), ("c", 0.4)] for seed in (0, 1)
    ]
    entries = table_builder.build_table(results, reference=["a", "c"]).paired
    assert sorted((entry.row, entry.reference) for entry in entries) == [
        ("b", "a"),
        ("b", "c"),
        ("c", "a"),
    ]


def test_numbers_of_different_protocols_are_not_compared():
    table = table_builder.build_table(
        [result("a", 0, 0.5), result("b", 0, 0.6, pooling="mean")], reference=["a"]
    )
    assert table.paired[0].difference is None
    text = shown(table)
    assert "protocols differ" in text
    # Each cell carries its own mark when the rows were not measured alike.
    assert "(a) pooling attentive probe" in text
    assert "(b) pooling mean" in text
    assert "0.500 [0.40, 0.60] (a)" in text
    assert "0.600 [0.50, 0.69] (b)" in text


def test_a_table_shows_means_intervals_gaps_and_protocols():
    results = [result("stage 1", 0, 0.25), result("stage 2", 0, 2.5, name="loss", n=0)]
    text = shown(table_builder.build_table(results))
    assert "0.250 [0.18, 0.34]" in text
    assert "2.500" in text
    assert "–" in text
    assert "chance 0.125, interval: Wilson over 100 test items, one seed" in text


def test_footnote_marks_never_run_out():
    marks = [cells.mark(index) for index in range(20_000)]
    assert [marks[0], marks[25], marks[26], marks[701], marks[702]] == ["a", "z", "aa", "zz", "aaa"]
    assert len(set(marks)) == len(marks)


def test_a_long_table_is_cut_in_the_terminal_but_not_in_the_files():
    results = [result(f"row {index}", seed, 0.5, clips=index) for index in range(750) for seed in (0, 1)]
    table = table_builder.build_table(results, reference=["row 0"])
    text = shown(table)
    assert len(text.splitlines()) < 150
    assert text.count("and 710 further rows: see report.md or report.html") == 1
    assert "and 710 further protocols" in text
    assert "and 709 further rows" in text  # of the comparisons
    assert len(cells.grid(table)[1]) == 750
    assert len(cells.footnotes(table)[1]) == 750


def test_a_diverged_seed_is_shown_as_such(tmp_path):
    table = table_builder.build_table([result("a", 0, float("nan")), result("a", 1, 0.5)])
    results_table.write_table(table, tmp_path / "table.json")
    assert "diverged 1 of 2" in shown(results_table.read_table(tmp_path / "table.json"))


@pytest.mark.parametrize("width", [8, 40, 80])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_terminal_can_show_the_table(width, encoding):
    table = table_builder.build_table(
        [result("[red]ä\x1b[2J–[/nonsense]", 0, 0.5), result("b", 0, 0.5, name="other")]
    )
    assert "\x1b" not in shown(table, width=width, encoding=encoding)


def test_a_wide_table_is_printed_in_parts():
    score = results_table.Score(0.5, 100, PROTOCOL)
    results = results_table.Result("a", 0, {f"metric {number}": score for number in range(9)})
    text = shown(table_builder.build_table([results]), width=60)
    assert max(map(len, text.splitlines()[:8])) <= 60
    assert text.count("0.500 [0.40, 0.60]") == 9


@pytest.mark.parametrize(
    ("results", "reference", "words"),
    [
        ([result("a", 0, 0.5), result("a", 0, 0.6)], [], "two for seed 0"),
        ([result("a", 0, 0.5), result("a", 1, 0.6, frames=16)], [], "one protocol"),
        ([result("a", 0, 0.5)], ["z"], "correct the label"),
    ],
)
def test_mistakes_are_named(results, reference, words):
    with pytest.raises(errors.UserError, match=words):
        table_builder.build_table(results, reference=reference)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"rows": [{"label": "a", "seeds": [], "metrics": {"m": {}}}]}']
)
def test_a_damaged_table_is_named(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match="run the ablation again"):
        results_table.read_table(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.6134, "0.613"), (-0.0001, "0.000"), (12.345, "12.3"), (1234.5, "1234.5"), (2.5e7, "2.500e+07")],
)
def test_numbers_are_short(value, text):
    assert cells.number(value) == text


def test_the_foot_says_what_intervals_speak_of():
    clips = "new seeds and new clips of the same data; hyper-parameters not re-tuned per row"
    table = example_tables.table()
    assert cells.scope(table) == clips
    results, _ = example_tables.results_and_items()
    known = table_builder.build_table(results, reference=["base"])
    assert cells.scope(known) == "new seeds on the same test clips; hyper-parameters not re-tuned per row"
    mixed = dataclasses.replace(table, paired=(*table.paired, known.paired[0]))
    assert "(those that say seeds only: on the same clips)" in cells.scope(mixed)
    one = example_tables.table(seeds=1, claims=())
    assert cells.scope(one).startswith("new clips of the same data, for the one seed that was run")
