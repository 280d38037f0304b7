"""The contract of objectives says what is wrong with one, and the smallest case."""

import dataclasses
import functools
import pathlib
import re

import leaking_objectives
import pytest
import wrong_objectives

from prismlab.experiments.kit import (
    faults,
    hidden_pixels,
    objective_case,
    objective_contract,
    plugin,
    strategies,
)
from prismlab.objectives import masked

ORDER = "test_the_order_of_the_batch_changes_nothing"
PADDING = "test_padding_examples_change_nothing"
EXAMPLE = objective_contract.EXAMPLE.batch
SIZE = "test_a_batch_with_a_padding_example_scores_as_without_it"
LEAK = "test_nothing_is_trained_on_the_intact_clip_beside_a_masked_view"
WRONG = {
    (wrong_objectives.Leaks, LEAK): "Leaks leaks hidden pixels: it is trained through the intact clip",
    (wrong_objectives.DependsOnOrder, ORDER): "DependsOnOrder depends on the order of the batch",
    (wrong_objectives.CountsPadding, PADDING): "CountsPadding counts padding examples: its result changes",
    (wrong_objectives.DividesBySize, SIZE): "DividesBySize counts padding examples: a batch scores otherwise",
}
DRAWN = objective_contract.EXAMPLE
PADDED = dataclasses.replace(DRAWN, weights=(0.0, 1.0, 1.0, 1.0))
BATCHES = {
    ORDER: {"drawn": DRAWN, "order": (1, 0, 2, 3)},
    PADDING: {"drawn": PADDED, "other": 7},
    SIZE: {"drawn": DRAWN},
}


def keep(kind, test):
    """Run one test of the contract on a class, as pytest would."""
    contract = objective_contract.ObjectiveContract()
    case = objective_case.build(kind)
    getattr(contract, test)(case=case)


@pytest.mark.parametrize(("kind", "test"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_a_wrong_objective_is_told_what_is_wrong(kind, test):
    """The test of one batch; of a property, what hypothesis calls with each."""
    contract, case = objective_contract.ObjectiveContract(), objective_case.build(kind)
    check = getattr(contract, test)
    if test in BATCHES:
        check = functools.partial(check.hypothesis.inner_test, contract, **BATCHES[test])
    with pytest.raises(faults.Fault, match=WRONG[kind, test]):
        check(case=case)


# The smallest case is found alike for each property.
@pytest.mark.parametrize(
    ("kind", "test"),
    [pytest.param(*each, marks=[pytest.mark.slow] * (ORDER not in each)) for each in WRONG],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_wrong_objective_is_told_with_the_smallest_case(kind, test):
    with pytest.raises(faults.Fault, match=WRONG[kind, test]) as caught:
        keep(kind, test)
    message = plugin.explanation(caught.value)
    assert message.startswith(kind.__name__)
    if test != LEAK:  # the others are properties: the smallest case follows
        case = message.partition("\nsmallest case:\n")[2]
        assert "DrawnBatch(clips=(" in case, message
        assert "\n    weights=(" in case, message
        assert len(case.splitlines()) <= 6, message


@pytest.mark.parametrize("test", [LEAK, ORDER, PADDING, SIZE])
@pytest.mark.parametrize("kind", [wrong_objectives.Right, wrong_objectives.TeachesItself])
def test_a_right_one_passes(kind, test):
    keep(kind, test)


def test_a_leak_that_is_meant_is_listed():
    class Meant(objective_contract.ObjectiveContract):
        sees_all = (wrong_objectives.Leaks,)

    case = objective_case.build(wrong_objectives.Leaks)
    getattr(Meant(), LEAK)(case=case)


def test_the_smallest_batches_are_black_and_short():
    batch = strategies.DrawnBatch((0, 3), (0, 3), (1.0, 0.0))
    assert float(batch.batch.video[0].max()) == 0.0
    assert batch.batch.text_paddings[0].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
    other = batch.with_others_at_padding(7)
    assert (other.clips, other.captions) == ((0, 8), (0, 8))
    assert functools.reduce(min, batch.weights) == 0.0


PAST_VIEWS = "test_hidden_pixels_reach_the_loss_in_targets_alone"
GRADIENT = (
    r"its loss has a gradient in pixels of batch\.video that View\(.*\) hides \(at 64 of 64 hidden places"
)
WEIGHT = r"at leaking_objectives\.py:\d+ a trained weight is applied to what shows the places that Tube\(.*\)"


OTHERS = [
    (leaking_objectives.ReadsPixels, GRADIENT),
    (leaking_objectives.ReadsStoppedPixels, WEIGHT),
    (leaking_objectives.GatesStoppedPixels, WEIGHT),
    (leaking_objectives.DecodesTeacher, WEIGHT),
    (leaking_objectives.LoopsUntilDone, WEIGHT),
]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (leaking_objectives.LeavesTargetOpen, GRADIENT),
        *(pytest.param(*each, marks=pytest.mark.long) for each in OTHERS),
    ],
)
def test_a_leak_past_the_views_is_told_where(kind, message):
    with pytest.raises(faults.Fault, match=f"{kind.__name__} leaks hidden pixels: {message}"):
        keep(kind, PAST_VIEWS)


@pytest.mark.parametrize(
    "kind",
    [
        leaking_objectives.PredictsPixels,
        leaking_objectives.ReadsVisiblePixels,
        leaking_objectives.ProjectsItsTarget,
        leaking_objectives.HasNoMask,
        wrong_objectives.TeachesItself,
    ],
)
def test_what_is_no_leak_past_the_views_passes(kind):
    keep(kind, PAST_VIEWS)


def test_a_leak_past_the_views_that_is_meant_is_listed():
    class Meant(objective_contract.ObjectiveContract):
        sees_all = (leaking_objectives.DecodesTeacher,)

    getattr(Meant(), PAST_VIEWS)(case=objective_case.build(leaking_objectives.DecodesTeacher))


def test_the_line_of_a_leak_is_the_one_that_applies_the_weight():
    message = hidden_pixels.fault(objective_case.build(leaking_objectives.ReadsStoppedPixels), EXAMPLE)
    number = int(re.search(r"leaking_objectives\.py:(\d+)", message).group(1))
    lines = pathlib.Path(leaking_objectives.__file__).read_text(encoding="utf-8").splitlines()
    assert "self.other(read)" in lines[number - 1]


def test_a_pixel_target_is_no_leak():
    small = {**objective_case.SMALL, "target": "pixels"}
    case = objective_case.build(masked.MaskedModeling, small=small)
    assert hidden_pixels.fault(case, EXAMPLE) is None
