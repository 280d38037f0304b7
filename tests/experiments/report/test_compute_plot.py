"""Scores against what their training cost."""

import example_tables

from prismlab.experiments.report import compute_plot, page_facts


def test_a_wide_axis_has_labels_in_plain_text():
    table = example_tables.table(claims=())
    costs = [page_facts.Cost(row.label, 0, None, flops) for row, flops in zip(table.rows, (0.0, 1e12, 4e15))]
    ((words, svg),) = compute_plot.panels(table, costs, ["motion"])
    assert words == "motion against training FLOPs"
    assert "1e14" in svg  # the text of a label, beside its shape
    assert "mathdefault" not in svg
