"""Precision of segments: equal to a brute-force reading of the official evaluator, corner cases included."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items, segments
from prismlab.experiments.tasks.metrics.detection import temporal_precision

LIMITS = (0.5, 0.7, 0.95)
CLASSES = ("a", "b", "c")


def videos(*annotated):
    """Return an item set; each argument lists the (start, end, label) of a video."""
    made = tuple(
        items.Item(f"v{row}", extra={segments.SEGMENTS: tuple(segments.Segment(*each) for each in spans)})
        for row, spans in enumerate(annotated)
    )
    return items.ItemSet("videos", made, CLASSES, lambda item: None, multi_label=True)


def said(*rows):
    """Return predictions from (video, start, end, label, score)."""
    row, start, end, label, score = np.asarray(rows, float).reshape(-1, 5).T
    return segments.Predicted(row.astype(int), label.astype(int), start, end, score)


def official(rows, annotated, limits):
    """Return the mean average precision as eval_detection.py computes it, loop by loop."""
    labels = sorted({label for spans in annotated for _, _, label in spans})
    table = np.zeros((len(limits), len(labels)))
    for column, label in enumerate(labels):
        truth = [
            (video, s, e) for video, spans in enumerate(annotated) for s, e, own in spans if own == label
        ]
        own = [row for row in rows if row[3] == label]
        own = [own[at] for at in np.argsort([row[4] for row in own], kind="stable")[::-1]] if own else []
        if not own:
            continue
        lock = np.full((len(limits), len(truth)), -1)
        hit, miss = np.zeros((len(limits), len(own))), np.zeros((len(limits), len(own)))
        for index, (video, start, end, _, _) in enumerate(own):
            here = [number for number, each in enumerate(truth) if each[0] == video]
            if not here:
                miss[:, index] = 1
                continue
            overlaps = []
            for number in here:
                _, s, e = truth[number]
                inside = max(min(end, e) - max(start, s), 0)
                union = (end - start) + (e - s) - inside
                overlaps.append(inside / union if union else float("nan"))
            order = np.argsort(overlaps, kind="stable")[::-1]
            for at, limit in enumerate(limits):
                for place in order:
                    if overlaps[place] < limit:
                        miss[at, index] = 1
                        break
                    if lock[at, here[place]] >= 0:
                        continue
                    hit[at, index] = 1
                    lock[at, here[place]] = index
                    break
                if not hit[at, index] and not miss[at, index]:
                    miss[at, index] = 1
        for at in range(len(limits)):
            right, wrong = hit[at].cumsum(), miss[at].cumsum()
            precision = np.concatenate([[0], right / (right + wrong), [0]])
            recall = np.concatenate([[0], right / len(truth), [1]])
            for place in range(len(precision) - 2, -1, -1):
                precision[place] = max(precision[place], precision[place + 1])
            rises = np.flatnonzero(recall[1:] != recall[:-1]) + 1
            table[at, column] = np.sum((recall[rises] - recall[rises - 1]) * precision[rises])
    return table.mean()


TIMES = st.integers(0, 6).flatmap(lambda a: st.tuples(st.just(a), st.integers(a, 8)))
SPANS = st.lists(st.tuples(TIMES, st.integers(0, 2)), max_size=4)
SAID = st.lists(st.tuples(st.integers(0, 2), TIMES, st.integers(0, 2), st.integers(0, 5)), max_size=14)


@settings(max_examples=60, deadline=None)
@given(st.lists(SPANS, min_size=3, max_size=3), SAID)
def test_the_official_variant_is_the_official_evaluator(spans, rows):
    annotated = [[(*times, label) for times, label in each] for each in spans]
    if not any(annotated):
        return
    rows = [(video, *times, label, score / 5) for video, times, label, score in rows]
    metric = temporal_precision.TemporalPrecision("official", LIMITS)
    found = metric.match(said(*rows), videos(*annotated))
    assert found.value() == pytest.approx(official(rows, annotated, LIMITS))


@settings(max_examples=50, deadline=None)
@given(st.lists(SPANS, min_size=3, max_size=3), SAID, st.integers(1, 6))
def test_a_part_of_the_videos_has_the_value_of_these_videos_alone(spans, rows, chosen):
    annotated = [[(*times, label) for times, label in each] for each in spans]
    kept = [row for row in range(3) if chosen >> row & 1]
    if not any(b > a for row in kept for a, b, _ in annotated[row]):
        return
    rows = [(video, *times, label, score / 5) for video, times, label, score in rows]
    metric = temporal_precision.TemporalPrecision(thresholds=LIMITS)
    whole = metric.match(said(*rows), videos(*annotated))
    few = [(kept.index(row[0]), *row[1:]) for row in rows if row[0] in kept]
    alone = metric.match(said(*few), videos(*[annotated[row] for row in kept]))
    assert whole.value(np.asarray(kept)) == pytest.approx(alone.value())


def test_annotations_as_predictions_are_perfect_and_of_other_classes_worth_nothing():
    found = videos([(0, 4, 0), (5, 9, 0)], [(1, 3, 1)])
    truth = segments.truth_of(found)
    metric = temporal_precision.TemporalPrecision()
    assert metric.match(truth, found).value() == 1.0
    assert metric.match(dataclasses.replace(truth, label=1 - truth.label), found).value() == 0.0
    assert metric.name == "mAP, tIoU .5:.95"


def test_zero_length_is_a_hit_anywhere_officially_and_left_out_otherwise():
    found = videos([(2, 2, 0), (5, 9, 0)])
    anywhere = said((0, 7, 7, 0, 0.9), (0, 5, 9, 0, 0.8))
    assert temporal_precision.TemporalPrecision("official").match(anywhere, found).value() == 1.0
    clean = temporal_precision.TemporalPrecision().match(anywhere, found)
    assert clean.value() == pytest.approx(0.5)
    assert clean.notes == {"annotations of zero length or repeated, left out": 1}


def test_a_prediction_falls_through_to_the_next_free_annotation():
    found = videos([(0, 10, 0), (0, 9, 0)])
    twice = said((0, 0, 10, 0, 0.9), (0, 0, 10, 0, 0.8))
    assert temporal_precision.TemporalPrecision(thresholds=(0.5,)).match(twice, found).value() == 1.0


def test_repeated_annotations_count_once_and_two_predictions_of_one_are_one_hit():
    found = videos([(0, 10, 0), (0, 10.0005, 0)])
    matched = temporal_precision.TemporalPrecision().match(
        said((0, 0, 10, 0, 0.9), (0, 0, 10, 0, 0.8)), found
    )
    assert matched.hits.sum(axis=1).tolist() == [1] * 10
    assert matched.positives.sum() == 1


def test_predictions_without_annotation_are_wrong_and_absent_classes_are_named():
    found = videos([(0, 10, 0)], [])
    both = said((0, 0, 10, 0, 0.5), (1, 0, 10, 0, 0.9), (0, 0, 10, 2, 0.9))
    matched = temporal_precision.TemporalPrecision().match(both, found)
    assert matched.value() == pytest.approx(0.5)
    assert matched.notes == {"predictions of classes that the split does not have": 1}
    nothing = temporal_precision.TemporalPrecision().match(said(), found)
    assert nothing.value() == 0.0


@pytest.mark.parametrize(
    "row",
    [(0, 5, 3, 0, 0.5), (0, 0, np.inf, 0, 0.5), (0, 0, 1, 0, np.nan), (0, 0, 1, 3, 0.5), (2, 0, 1, 0, 1)],
)
def test_impossible_predictions_are_refused(row):
    with pytest.raises(errors.UserError, match="expected predicted segments of a known video and class"):
        temporal_precision.TemporalPrecision().match(said(row), videos([(0, 10, 0)]))


def test_settings_and_data_without_times_are_refused():
    with pytest.raises(errors.UserError, match=r"thresholds in \(0, 1\]"):
        temporal_precision.TemporalPrecision(thresholds=(0.0,))
    with pytest.raises(errors.UserError, match="variant must be one of"):
        temporal_precision.TemporalPrecision("cocoish")
    with pytest.raises(errors.UserError, match="times of actions, found none"):
        temporal_precision.TemporalPrecision().match(said(), videos([], []))
    with pytest.raises(errors.UserError, match="a later end"):
        segments.Segment(3, 2, 0)
