"""Frame mAP: equal to a brute-force reading of the official evaluator; flattering variants only by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.metrics.detection import frame_precision

CLASSES = ("a", "b")
WHOLE = (0.0, 0.0, 1.0, 1.0)
METRIC = frame_precision.FramePrecision()


def keyframes(*annotated):
    """Return an item set; each argument lists the (box, labels) of a keyframe."""
    made = tuple(
        items.Item(f"k{row}", extra={boxes.BOXES: tuple(boxes.Box(*each) for each in own)})
        for row, own in enumerate(annotated)
    )
    return items.ItemSet("keyframes", made, CLASSES, lambda item: None, multi_label=True)


def said(*rows):
    """Return scored boxes from (keyframe, box, label, score)."""
    return boxes.Scored(
        np.asarray([row[0] for row in rows], np.int64),
        np.asarray([row[1] for row in rows], float).reshape(-1, 4),
        np.asarray([row[2] for row in rows], np.int64),
        np.asarray([row[3] for row in rows], float),
    )


def official(rows, annotated):
    """Return the mean over classes, one row at a time."""
    values = []
    for label in range(len(CLASSES)):
        truth = {key: [box for box, labels in own if label in labels] for key, own in enumerate(annotated)}
        total = sum(map(len, truth.values()))
        if not total:
            continue
        own = [row for row in rows if row[2] == label]
        own = [own[at] for at in np.argsort([row[3] for row in own], kind="stable")[::-1]] if own else []
        taken, precision, recall, right = set(), [0.0], [0.0], 0
        for number, (key, box, _, _) in enumerate(own, 1):
            overlaps = []
            for other in truth[key]:
                width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
                height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
                area = lambda b: (b[2] - b[0]) * (b[3] - b[1])
                overlaps.append(width * height / (area(box) + area(other) - width * height))
            if overlaps:
                best = int(np.argmax(overlaps))
                if overlaps[best] >= 0.5 and (key, best) not in taken:
                    taken.add((key, best))
                    right += 1
            precision.append(right / number)
            recall.append(right / total)
        precision, recall = [*precision, 0.0], [*recall, 1.0]
        for at in range(len(precision) - 2, -1, -1):
            precision[at] = max(precision[at], precision[at + 1])
        values.append(sum((b - a) * p for a, b, p in zip(recall, recall[1:], precision[1:]) if a != b))
    return float(np.mean(values))


SIDE = st.integers(0, 3).flatmap(
    lambda a: st.tuples(st.just(a / 5), st.integers(a + 1, 5).map(lambda b: b / 5))
)
BOX = st.tuples(SIDE, SIDE).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1]))
OWN = st.lists(st.tuples(BOX, st.sets(st.integers(0, 1)).map(lambda s: tuple(sorted(s)))), max_size=3)
ROWS = st.lists(st.tuples(st.integers(0, 2), BOX, st.integers(0, 1), st.integers(0, 6)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(OWN, min_size=3, max_size=3), ROWS)
def test_it_is_the_official_evaluator(annotated, rows):
    if not any(labels for own in annotated for _, labels in own):
        return
    found = METRIC.match(said(*rows), keyframes(*annotated))
    assert found.value() == pytest.approx(official(rows, annotated))


def test_annotations_as_detections_are_perfect_and_shifted_boxes_worth_nothing():
    found = keyframes([((0.0, 0.0, 0.4, 0.4), (0, 1)), ((0.5, 0.5, 0.9, 0.9), (1,))], [(WHOLE, (0,))])
    truth = boxes.truth_of(found)
    assert METRIC.match(truth, found).value() == 1.0
    far = boxes.Scored(
        truth.row, np.full_like(truth.shares, 0.95) + np.asarray([0, 0, 0.05, 0.05]), truth.label, truth.score
    )
    assert METRIC.match(far, found).value() == 0.0
    assert METRIC.name == "frame mAP, IoU .5"


def test_a_second_detection_of_a_box_is_wrong_and_there_is_no_second_choice():
    close = (0.0, 0.0, 1.0, 0.95)
    found = keyframes([(WHOLE, (0,)), (close, (0,))])
    twice = METRIC.match(said((0, WHOLE, 0, 0.9), (0, WHOLE, 0, 0.8)), found)
    assert twice.hits.tolist() == [[True, False]]
    assert twice.value() == 0.5


def test_only_50_rows_of_a_keyframe_count():
    found = keyframes([(WHOLE, (0,))], [(WHOLE, (0,))])
    many = [(0, WHOLE, 1, 0.9 - index / 1000) for index in range(50)]
    beyond = said(*many, (0, WHOLE, 0, 0.1), (1, WHOLE, 0, 0.1))
    cut = METRIC.match(beyond, found)
    assert cut.value() == 0.5
    assert cut.notes == {"rows beyond the 50 of a keyframe": 1}
    free = frame_precision.FramePrecision(variant="mmaction2")
    assert free.match(beyond, found).value() == 1.0


def test_keyframes_without_detection_or_annotation_count_unless_a_flattering_variant_is_named():
    found = keyframes([(WHOLE, (0,))], [(WHOLE, (0,))], [])
    rows = said((0, WHOLE, 0, 0.5), (2, WHOLE, 0, 0.9))
    assert METRIC.match(rows, found).value() == pytest.approx(0.25)
    easier = frame_precision.FramePrecision(variant="videoglue")
    assert easier.match(rows, found).value() == 1.0
    assert easier.match(rows, found).notes == {"keyframes skipped": 2}
    assert easier.name == "frame mAP, IoU .5 (flattering: videoglue)"
    kept = frame_precision.FramePrecision(variant="mmaction2")
    assert kept.match(rows, found).value() == 0.5


def test_swapped_corners_are_dropped_and_counted():
    found = keyframes([(WHOLE, (0,))])
    swapped = METRIC.match(said((0, (1, 1, 0, 0), 0, 0.9), (0, WHOLE, 0, 0.5)), found)
    assert swapped.value() == 1.0
    assert swapped.notes == {"boxes without area or with swapped corners": 1}


@pytest.mark.parametrize("row", [(0, WHOLE, 2, 0.5), (1, WHOLE, 0, 0.5), (0, WHOLE, 0, np.nan)])
def test_impossible_rows_are_refused(row):
    with pytest.raises(errors.UserError, match="expected scored boxes of a known keyframe and class"):
        METRIC.match(said(row), keyframes([(WHOLE, (0,))]))


def test_settings_and_data_without_boxes_are_refused():
    with pytest.raises(errors.UserError, match="a variant of"):
        frame_precision.FramePrecision(variant="best")
    with pytest.raises(errors.UserError, match="expected keyframes with boxes, found none"):
        METRIC.match(said(), keyframes([]))


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.1, 0.1, 0.5, 0.5), ""), ((0.5, 0.1, 0.1, 0.5), "swapped"), ((0.1, 0.1, 300.0, 200.0), "outside"),
        ((0.1, 0.1, 0.1, 0.5), "without area"), ((0.1, 0.1, 0.5), "four numbers"),
        ((0.1, np.nan, 0.5, 0.5), "four numbers"), ((-0.005, 0.0, 1.002, 1.0), ""),
    ],
)  # fmt: skip
def test_boxes_that_are_none_are_named(shares, said):
    assert (said in boxes.fault(shares)) if said else not boxes.fault(shares)
    if not said:
        assert all(0 <= each <= 1 for each in boxes.clipped(shares))
