"""Differences of rows by scale: pairs, slopes, words, figures, table.json and the pages."""

import json
import math

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.recipe import matching_interface, recipe
from prismlab.experiments.report import html_report, scale_plot
from prismlab.experiments.results import gather, stage_certificates
from prismlab.experiments.statistics import item_scores, results_table, scale_curves, table_builder
from prismlab.experiments.store import matched_rows

SCALES = ("w64, deep", "w128, deep", "w256, deep", "w64, flat")
FLOPS = {"w64, deep": 1e12, "w128, deep": 1e13, "w256, deep": 1e15, "w64, flat": 5e11}
# new minus old, by scale.
GAINS = dict(zip(SCALES, (-0.2, -0.12, 0.1, 0.05)))
PLACES = {f"{row} @ {scale}": (row, scale) for scale in SCALES for row in ("old", "new")}
COSTS = {label: FLOPS[scale] * (2 if row == "new" else 1) for label, (row, scale) in PLACES.items()}
DESIGN = scale_curves.Design(PLACES, ("old",))
NAMES = tuple(f"clip {number}" for number in range(20))


def results():
    generator = np.random.default_rng(0)
    found, items = [], {}
    for seed in range(3):
        for label, (row, scale) in PLACES.items():
            noise = generator.normal(0, 0.004, len(NAMES))
            values = 0.4 + (GAINS[scale] if row == "new" else 0.0) + noise
            items[label, seed, "motion"] = item_scores.ItemScores(NAMES, NAMES, values)
            score = results_table.Score(float(values.mean()), len(NAMES), {"chance": 0.125})
            found.append(results_table.Result(label, seed, {"motion": score}, (f"s-{label[:3]}",)))
    return found, items


def build(**fields):
    found, items = results()
    against = [label for label in PLACES if label.startswith("old")]
    given = {"reference": against, "items": items, "design": DESIGN, "flops": COSTS, "title": "x", "logs": []}
    return table_builder.build_table(found, **{**given, **fields})


TABLE = build()


def test_rows_are_compared_at_one_scale_only():
    assert {(entry.row, entry.reference) for entry in TABLE.paired} == {
        (f"new @ {scale}", f"old @ {scale}") for scale in SCALES
    }


def test_a_curve_has_the_paired_difference_at_each_scale_with_its_compute():
    (curve,) = TABLE.scales
    assert (curve.row, curve.reference, curve.metric) == ("new", "old", "motion")
    assert [point.scale for point in curve.points] == list(SCALES)
    for point, entry in zip(curve.points, TABLE.paired):
        assert point.difference == entry.difference == pytest.approx(GAINS[point.scale], abs=4e-3)
        assert point.ci95 == entry.ci95
        assert (point.seeds, point.clips) == ((0, 1, 2), 20)
        assert point.flops == 2 * point.reference_flops == 2 * FLOPS[point.scale]
    assert [point.series for point in curve.points] == ["deep", "deep", "deep", "flat"]


def test_the_slope_is_that_of_least_squares_over_tenfold_compute():
    (slope,) = TABLE.scales[0].slopes
    x = [math.log10(FLOPS[scale]) for scale in SCALES[:3]]
    wanted = np.polyfit(x, [GAINS[scale] for scale in SCALES[:3]], 1)[0]
    assert (slope.series, slope.points) == ("deep", 3)
    assert slope.per_tenfold == pytest.approx(wanted, abs=2e-3)
    assert slope.ci95[0] < slope.per_tenfold < slope.ci95[1]


def test_the_sign_is_told_for_all_scales():
    positive, negative, slope = scale_curves.sentence(TABLE.scales[0]).split("; ")
    assert positive == "positive at 2 of 4 scales (interval above 0 at 2)"
    assert negative == "negative at 2 of 4 scales (interval below 0 at 2)"
    assert slope.startswith("deep: +0.10")
    assert slope.endswith("] for ten times the FLOPs")
    assert scale_curves.lines(TABLE.scales[0])[0][:4] == ["w64, deep", "2e+12", "2 x", "-0.200"]


def test_unknown_flops_leave_the_differences_and_no_slope():
    table = build(flops={"new @ w64, deep": 1e12})
    (curve,) = table.scales
    assert not curve.slopes
    assert not curve.has_flops
    assert scale_curves.lines(curve)[1][1:3] == ["–", "–"]
    ((_, with_flops),) = scale_plot.panels(TABLE, TABLE.scales)
    ((words, svg),) = scale_plot.panels(table, table.scales)
    assert words == "motion: new minus old, by scale"
    assert svg != with_flops
    assert "1e13" in with_flops  # the text of a label, beside its shape
    assert "mathdefault" not in with_flops
    assert svg == scale_plot.panels(table, table.scales)[0][1]


def test_a_row_that_is_not_finished_has_no_point():
    found, items = results()
    less = [entry for entry in found if entry.label != "old @ w64, deep"]
    against = [f"old @ {scale}" for scale in SCALES[1:]]
    table = table_builder.build_table(less, reference=against, items=items, design=DESIGN, flops=COSTS)
    assert [point.scale for point in table.scales[0].points] == list(SCALES[1:])


def test_the_table_file_and_the_pages_have_the_curves(tmp_path, monkeypatch):
    found, _ = results()
    plain = [
        {"label": each.label, "seed": each.seed, "stages": list(each.stages),
         "metrics": {"motion": {"value": each.metrics["motion"].value, "n": 20, "protocol": {}}}}
        for each in found
    ]  # fmt: skip
    rows = {"old": {}, "new": {"stage1.steps": 2}}
    config = {"name": "x", "compare_with": ["old"], "rows": rows, "scales": {name: {} for name in SCALES}}
    match = matching_interface.Match("s", "t", "FLOPs", 3, 1.0, 1.25)
    monkeypatch.setattr(recipe.Ablation, "matches", lambda self: {"new @ w64, flat": (match,)})
    matched = matched_rows.of(object.__new__(recipe.Ablation))
    for name, value in (("config", config), ("results", plain), ("matched", matched)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "config.gin").write_text("")
    flops = {"s-old": 1e12, "s-new": 2e12}
    monkeypatch.setattr(stage_certificates.Certificates, "flops", property(lambda self: flops))
    table = gather.tables(tmp_path)
    read = results_table.read_table(tmp_path / "table.json")
    assert read.scales == table.scales
    assert read.matched == table.matched == matched_rows.read(tmp_path)
    assert {point.flops for point in table.scales[0].points} == {2e12}
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "Differences by scale" in text
        assert "new @ w64, flat: " in text
        assert "3 steps, with 1 FLOPs against 1.25 of" in text
        assert "(mismatch -20 %)" in text
        assert "positive at 2 of 4 scales" in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "scale w64, flat" in page
    html_report.rebuild(tmp_path)
    assert "Differences by scale" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_interval_in_the_wrong_order_is_refused(tmp_path):
    plain = json.loads(json.dumps(TABLE.plain()))
    plain["scales"][0]["points"][0]["ci95"] = [1, 0]
    (tmp_path / "table.json").write_text(json.dumps(plain))
    with pytest.raises(errors.UserError, match="expected low and high as ci95"):
        results_table.read_table(tmp_path / "table.json")
