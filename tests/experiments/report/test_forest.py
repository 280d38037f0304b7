"""The forest plot: a dot for each seed, claims apart from what is exploratory, equal bytes."""

import dataclasses

import example_tables
import pytest

from prismlab.experiments.report import forest


def test_each_line_has_the_differences_of_the_single_seeds():
    table = example_tables.table()
    motion, longer = forest.panels(table)
    assert [(panel.metric, panel.reference) for panel in (motion, longer)] == [
        ("motion", "base"),
        ("motion", "base, longer"),
    ]
    assert [(line.row, line.claimed) for line in motion.lines] == [
        ("base, longer", False),
        ("new_row", True),
    ]
    line = motion.lines[1]
    base, _, new = (row.metrics["motion"].values for row in table.rows)
    assert line.dots == tuple((seed, new[seed] - base[seed]) for seed in range(3))
    assert line.difference == pytest.approx(sum(value for _, value in line.dots) / 3)
    assert (line.interval, line.verdict) == (table.claims[0].interval, "separable")
    assert motion.matters == 0.02


def test_without_claims_every_metric_is_drawn_and_none_has_a_band():
    panels = forest.panels(example_tables.table(claims=()))
    assert {panel.metric for panel in panels} == {"motion", "species"}
    assert not any(line.claimed for panel in panels for line in panel.lines)
    assert {panel.matters for panel in panels} == {None}


def test_a_diverged_seed_has_no_dot_and_odd_tables_are_drawn():
    table = example_tables.table()
    row = table.rows[2]
    cell = row.metrics["motion"]
    lost = dataclasses.replace(cell, values=(None, *cell.values[1:]))
    rows = (*table.rows[:2], dataclasses.replace(row, metrics={"motion": lost}))
    panels = forest.panels(dataclasses.replace(table, rows=rows))
    assert [seed for seed, _ in panels[0].lines[1].dots] == [1, 2]
    stranger = dataclasses.replace(table, rows=table.rows[2:])  # references that the table lacks
    assert [line.dots for panel in forest.panels(stranger) for line in panel.lines] == [(), ()]
    assert forest.svgs(forest.panels(stranger))


def test_equal_tables_give_equal_bytes_and_labels_stay_labels():
    hostile = ("base", "<script>$x$\x00", "new_row")
    table = example_tables.table(hostile, claims=(("new_row", "base", "motion"),))
    panels = forest.panels(table)
    first, second = forest.svgs(panels), forest.svgs(panels)
    assert first == second
    assert "<script>" not in first[0]
    first, second = forest.pdf(panels[:1]), forest.pdf(panels[:1])
    assert first == second
    assert first.startswith(b"%PDF")
