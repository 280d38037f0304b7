"""The VideoGLUE score of VideoPrism-B, from the paper's own tables."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.evaluations import catalog
from prismlab.experiments.tasks.metrics import videoglue_score as vgs

NAMES = [name for group in vgs.GROUPS.values() for name in group]
# VideoPrism Tables 13 to 16, rows of VideoPrism-B with aligned FLOPs, and the FLOPs of what is trained.
PAPER = {
    "frozen": ((82.8, 40.0, 61.8, 59.5, 38.7, 36.6, 29.9, 32.0), 3.72),
    "MLAP": ((83.7, 43.9, 64.6, 70.7, 56.6, 37.2, 31.5, 33.1), 14.9),
    "adapter": ((84.5, 44.0, 66.3, 83.0, 57.8, None, 33.6, 35.7), 8.71),
    "end to end": ((84.4, 43.9, 68.2, 82.3, 58.1, None, 33.3, 35.3), 374.0),
}


def adaptation(values, flops):
    return vgs.Adaptation({name: value for name, value in zip(NAMES, values) if value is not None}, flops)


def test_the_score_of_the_paper_is_reproduced():
    found = vgs.videoglue_score({name: adaptation(*row) for name, row in PAPER.items()})
    # Table 17 prints 51.25; the tables' inputs are rounded to 0.1 and FLOPs to three digits.
    assert found == pytest.approx(51.25, abs=0.02)


def test_every_group_counts_alike():
    values = dict.fromkeys(NAMES, 50.0)
    assert vgs.Adaptation({**values, "Charades": 60.0}, 10.0).mean == pytest.approx(52.0)
    assert vgs.Adaptation({**values, "AVA 2.2": 60.0}, 10.0).mean == pytest.approx(51.0)


def test_cheap_adaptations_count_more():
    low, high = (adaptation([value] * 8, 1.0 + flops) for value, flops in ((40.0, 9.0), (60.0, 999.0)))
    assert vgs.videoglue_score({"frozen": low, "all": high}) == pytest.approx((3 * 40 + 60) / 4, abs=0.01)


def test_the_names_are_those_of_the_list_of_benchmarks():
    assert set(NAMES) <= {row.benchmark for row in catalog.ROWS}


@pytest.mark.parametrize(
    ("change", "flops", "match"),
    [
        ({"Charades": None}, 3.0, "Charades missing"),
        ({"Kinetics": 3.0}, 3.0, "no benchmark 'Kinetics'"),
        ({"Charades": 140.0}, 3.0, "expected percent, got 140 for Charades"),
        ({}, 1.0, "more than 1 billion FLOPs"),
    ],
)
def test_scores_that_do_not_make_one_are_refused(change, flops, match):
    scores = {**dict.fromkeys(NAMES, 50.0), **change}
    with pytest.raises(errors.UserError, match=match):
        vgs.Adaptation({name: value for name, value in scores.items() if value is not None}, flops)


def test_no_adaptation_is_refused():
    with pytest.raises(errors.UserError, match="at least one adaptation"):
        vgs.videoglue_score({})
