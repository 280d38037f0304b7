"""Scores against what their training cost."""

import example_tables
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.experiments.report import compute_plot, drawing, page_facts


def test_a_wide_axis_has_labels_in_plain_text():
    table = example_tables.table(claims=())
    costs = [page_facts.Cost(row.label, 0, None, flops) for row, flops in zip(table.rows, (0.0, 1e12, 4e15))]
    ((words, svg),) = compute_plot.panels(table, costs, ["motion"])
    assert words == "motion against training FLOPs"
    assert "1e14" in svg  # the text of a label, beside its shape
    assert "mathdefault" not in svg


@given(st.floats(1e-9, 1e20), st.floats(1.0001, 1e15))
def test_labels_of_a_logarithmic_axis_are_few_and_lie_on_it(low, ratio):
    found = drawing.round_values(low, low * ratio)
    assert 1 <= len(found) <= 4
    assert found == sorted(set(found))
    assert low * (1 - 1e-9) <= found[0]
    assert found[-1] <= low * ratio * (1 + 1e-9)


def test_an_untrained_row_does_not_crowd_the_labels():
    assert drawing.round_values(0.000665, 0.0536) == pytest.approx([1e-3, 3e-3, 1e-2, 3e-2])
    assert drawing.round_values(1e9, 2e20) == [1e9, 1e12, 1e15, 1e18]
