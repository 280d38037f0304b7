"""Claims: two-part intervals that agree with p, verdicts, and what is said where there is none."""

import re

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments import look_levels
from prismlab.experiments.bench import look_levels as simulation
from prismlab.experiments.statistics import (
    claim_verdicts,
    item_scores,
    results_table,
    table_builder,
    two_part,
)

CLAIM = ("new", "base", "motion")


def world(gain, seeds, *, items=200, spread=0.01, lost=(), renamed=False, seed=0):
    """Return results of two rows and their items, of which `new` is better by `gain`."""
    generator = np.random.default_rng(seed)
    keys = tuple(f"c{index}" for index in range(items))
    results, found = [], {}
    for number in range(seeds):
        shared = generator.uniform(0.2, 0.6, items)
        for label, more in (("base", 0.0), ("new", gain + generator.normal(0, spread))):
            values = shared + more + generator.normal(0, 0.05, items)
            value = float("nan") if (label, number) in lost else float(values.mean())
            score = results_table.Score(value, items, {"chance": 0.1})
            results.append(results_table.Result(label, number, {"motion": score}))
            names = keys if label == "base" or not renamed else tuple(f"other {key}" for key in keys)
            found[label, number, "motion"] = item_scores.ItemScores(names, names, values)
    return results, found


def table(results, found, **plan):
    plan = claim_verdicts.Plan(**{"claims": (CLAIM,), **plan})
    return table_builder.build_table(results, reference=["base"], items=found, plan=plan)


def said(results, found, **plan):
    (line,) = claim_verdicts.sentences(table(results, found, **plan))
    return line


def test_the_claim_has_the_two_part_interval_and_a_consistent_p():
    results, found = world(0.1, 3)
    (claim,) = table(results, found).claims
    x = [found["new", s, "motion"].values - found["base", s, "motion"].values for s in range(3)]
    expected = two_part.difference(np.stack(x))
    assert claim.interval == pytest.approx(expected.interval)
    assert claim.p == pytest.approx(expected.p)
    assert (claim.verdict, claim.clips, claim.n) == ("separable", 200, 3)
    assert table(results, found).paired == ()
    line = said(results, found)
    assert re.match(
        r"'new' minus 'base', motion: \+0\.\d+ \[0.*\] at 95 %, 3 seeds x 200 clips, claim 1 of 1", line
    )
    assert "separable. Variance: seeds" in line


def test_claims_share_the_error_and_planned_looks_lower_it():
    results, found = world(0.1, 3)
    (claim,) = table(results, found, looks=(3, 6)).claims
    assert claim.level == 1 - look_levels.LEVELS[3, 6]
    several = table(results, found, claims=(CLAIM, ("base", "new", "motion"))).claims
    assert [each.level for each in several] == [0.975, 0.975]
    assert several[0].difference == -several[1].difference
    assert several[0].p == pytest.approx(several[1].p)


def test_the_three_verdicts_in_words():
    assert "equal within ±0.020" in said(*world(0.0, 6, spread=0.001))
    line = said(*world(0.0, 2, spread=0.03))
    assert re.search(r"not separable, ±0.020 needs about \d+ more seeds", line)
    own = two_part.Difference(0.0, 0.1, 1.0, 0.95, 3, 10, 0.0001, 0.01)
    advice = claim_verdicts._advice(claim_verdicts.Plan(), own, None)
    assert advice == "more seeds cannot bring it to ±0.020, more clips would"


def joint(gains, seeds=3, seed=0, spread=0.01, **plan):
    """Return the table of one claim that `new` is better than two rows, by `gains`."""
    generator = np.random.default_rng(seed)
    keys = tuple(f"c{index}" for index in range(200))
    results, found = [], {}
    for number in range(seeds):
        new = generator.uniform(0.4, 0.8, 200)
        rows = {"new": new} | {
            label: new - gain - generator.normal(0, spread) + generator.normal(0, 0.05, 200)
            for label, gain in gains.items()
        }
        for label, values in rows.items():
            score = results_table.Score(float(values.mean()), 200, {"chance": 0.1})
            results.append(results_table.Result(label, number, {"motion": score}))
            found[label, number, "motion"] = item_scores.ItemScores(keys, keys, values)
    return table(results, found, claims=(("new", tuple(gains), "motion"),), **plan)


@pytest.mark.parametrize(
    ("gains", "verdict", "note"),
    [
        ({"base": 0.2, "other": 0.15}, "separable", None),
        ({"base": -0.2, "other": -0.15}, "separable", None),
        ({"base": 0.2, "other": -0.15}, "not separable", "this part alone: separable"),
        ({"base": 0.2, "other": 0.0}, "not separable", "this part alone: separable"),
    ],
)
def test_a_claim_about_several_rows_holds_if_each_part_does_in_one_direction(gains, verdict, note):
    made = joint(gains)
    assert [(each.reference, each.number, each.verdict) for each in made.claims] == [
        ("base", 1, verdict),
        ("other", 1, verdict),
    ]
    assert [each.level for each in made.claims] == [0.95, 0.95]  # one claim: no correction for its parts
    assert made.paired == () or {each.row for each in made.paired} != {"new"}
    assert (note is None) == (made.claims[0].note is None)
    assert note is None or note in made.claims[0].note
    lines = claim_verdicts.sentences(made)
    assert ["claim 1 of 1, part 1 of 2" in lines[0], "claim 1 of 1, part 2 of 2" in lines[1]] == [True, True]


def test_a_part_without_a_verdict_leaves_the_claim_without_one():
    assert [each.verdict for each in joint({"base": 0.2, "other": 0.15}, seeds=1).claims] == [None, None]
    assert [each.verdict for each in joint({"base": 0.2, "other": 0.15}, looks=(2, 4)).claims] == [None, None]


@pytest.mark.parametrize("gains", [{"base": 0.0, "other": 0.2}, {"base": 0.0, "other": 0.0}])
def test_a_claim_about_several_rows_is_false_as_rarely_as_any_other(gains):
    worlds = 200
    false = sum(joint(gains, seed=seed).claims[0].verdict == "separable" for seed in range(worlds))
    assert false <= 0.05 * worlds + 2.6 * (0.05 * 0.95 * worlds) ** 0.5


def test_a_list_of_one_reference_is_an_ordinary_claim():
    assert claim_verdicts.Plan(claims=(("new", ("base",), "motion"),)).parts == [[CLAIM]]


def test_one_seed_never_yields_a_verdict():
    (claim,) = table(*world(0.5, 1)).claims
    assert (claim.p, claim.verdict) == (None, None)
    assert "no verdict. Note: one seed, no verdict" in said(*world(0.5, 1))


def test_a_diverged_seed_is_named_in_the_claim_and_in_the_cell():
    made = world(0.1, 4, lost=[("new", 2)])
    (claim,) = table(*made).claims
    assert (claim.n, claim.seeds) == (3, (0, 1, 3))
    assert "diverged 1 of 4" in said(*made)
    assert table(*made).rows[1].metrics["motion"].mean is None


def test_seeds_outside_the_plan_are_marked():
    line = said(*world(0.1, 4), looks=(3, 6))
    assert "no verdict. " in line
    assert "4 seeds are outside the planned looks 3, 6" in line
    assert "2 of 6 seeds not finished" in said(*world(0.1, 4), seeds=tuple(range(6)))


def test_without_the_same_items_it_is_an_interval_over_seeds_only():
    results, found = world(0.1, 3, renamed=True)
    for items in (found, {}):
        (claim,) = table(results, items).claims
        assert (claim.clips, claim.note) == (0, "seeds only")
        values = {label: [r.metrics["motion"].value for r in results if r.label == label] for label in CLAIM}
        column = np.subtract(values["new"], values["base"])[:, None]
        assert claim.interval == pytest.approx(two_part.difference(column).interval)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (("gone", "base", "motion"), "row 'gone' is not finished"),
        (("new", "base", "species"), "row 'new' has no 'species'"),
    ],
)
def test_a_claim_about_what_is_not_there_says_so(claim, words):
    assert words in said(*world(0.1, 2), claims=(claim,))


def test_a_cell_has_the_two_part_interval_of_its_own_scores():
    results, found = world(0.1, 3)
    cell = table(results, found).rows[0].metrics["motion"]
    own = two_part.difference(np.stack([found["base", s, "motion"].values for s in range(3)]))
    assert cell.ci95 == pytest.approx(own.interval)
    assert cell.method == "two-part over 3 seeds x 200 clips"


def test_claims_survive_the_disk(tmp_path):
    made = table(*world(0.1, 3))
    results_table.write_table(made, tmp_path / "table.json")
    assert results_table.read_table(tmp_path / "table.json") == made


def test_stored_levels_are_those_of_the_simulation():
    for looks, level in simulation.levels(20_000, seed=7):
        assert look_levels.level(looks) == pytest.approx(level, rel=0.12)
    assert look_levels.level(()) == look_levels.level((4,)) == 0.05
    with pytest.raises(errors.UserError, match="ascending numbers of seeds"):
        look_levels.level((6, 3))
