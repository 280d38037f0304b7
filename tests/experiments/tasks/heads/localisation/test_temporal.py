"""Temporal heads: near perfect on features that tell the actions, at chance on shuffled labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set, window_sequences
from prismlab.experiments.tasks.heads.localisation import (
    localisation_fit,
    segment_pyramid,
    soft_suppression,
    temporal,
)
from prismlab.experiments.tasks.interface import items, segments
from prismlab.experiments.tasks.metrics.detection import temporal_precision

WINDOWS = window_sequences.Windows(1.0, 0.5)
DURATION = 12.0
METRIC = temporal_precision.TemporalPrecision()


def oracle(count, name):
    """Return sequences of videos whose features are class, start and end of the action at each window."""
    rng, made, features = np.random.default_rng([count, len(name)]), [], []
    for row in range(count):
        first, second = rng.uniform(0.5, 2, 2), rng.uniform([6, 9], [8, 11.5])
        spans = [(first[0], first[0] + 2 * first[1]), (second[0], second[1])]
        labels = rng.integers(3, size=2)
        kept = tuple(segments.Segment(a, b, int(c)) for (a, b), c in zip(spans, labels))
        extra = {segments.SEGMENTS: kept, segments.DURATION: DURATION}
        made.append(items.Item(f"{name}{row}", extra=extra))
        for start in WINDOWS.starts(DURATION):
            one = np.zeros(5)
            for each in kept:
                if each.start <= start + 0.5 <= each.end:
                    one[[each.label, 3, 4]] = 3, start + 0.5 - each.start, each.end - start - 0.5
            features.append([one])
    found = items.ItemSet(name, tuple(made), ("a", "b", "c"), lambda item: None, multi_label=True)
    cut = WINDOWS.cut(found)
    array = np.asarray(features, np.float32) + rng.normal(size=(len(cut), 1, 5)) * 0.01
    encoded = feature_set.Encoded(cut, feature_set.InMemory(array), {})
    return window_sequences.Sequences.of(found, encoded, WINDOWS)


HEAD = temporal.Temporal(
    segment_pyramid.SegmentPyramid(dim=24),
    localisation_fit.Training(learning_rates=(1e-4, 1e-2), seeds=1, steps=150, batch_size=16),
)


@pytest.fixture(scope="module")
def world():
    return oracle(60, "train"), oracle(30, "test")


def value(world, **more):
    measure = lambda said, found: METRIC.match(said, found).value()
    (said,), _, facts = HEAD.predict(*world, measure, seed=0, **more)
    return measure(said, world[1].found), facts, said


@pytest.mark.slow
def test_features_that_tell_the_actions_are_localised_and_shuffled_labels_are_not(world):
    found, facts, said = value(world)
    assert facts["learning rate"] == 1e-2
    assert facts["selected on"] == "8 held-out training items"
    assert found > 0.85
    assert (said.start >= 0).all()
    assert (said.end <= DURATION).all()
    control, _, _ = value(world, shuffled=True)
    assert control < 0.15


@pytest.mark.slow
def test_the_same_seed_gives_the_same_segments(world):
    few = temporal.Temporal(HEAD.pyramid, localisation_fit.Training(seeds=1, steps=3, batch_size=8))
    first, second = (few.predict(*world, lambda *_: 0.0, seed=1)[0][0] for _ in range(2))
    np.testing.assert_array_equal(first.score, second.score)


@pytest.mark.slow
def test_a_video_without_action_is_learned_from_and_a_data_set_without_any_is_refused(world):
    train, test = world
    bare = tuple(items.Item(item.key, extra={segments.DURATION: DURATION}) for item in train.found.items)
    some = items.ItemSet("t", (*train.found.items[:40], *bare[40:]), train.found.classes, train.found.load,
                         multi_label=True)  # fmt: skip
    sequences = lambda found: window_sequences.Sequences(found, train.features, train.rows, WINDOWS, {}, 0)
    few = temporal.Temporal(HEAD.pyramid, localisation_fit.Training(seeds=1, steps=2, batch_size=8))
    right = np.zeros((len(test), 3), np.float32)
    right[:, 1], right[:, 2] = 0.5, 0.25
    said, other, _ = few.predict(sequences(some), test, lambda *_: 0.0, seed=0, external=right)
    assert len(said) == 1
    assert set(other[0].label) == {1, 2}  # the two surest classes of another classifier
    none = items.ItemSet("t", bare, train.found.classes, train.found.load, multi_label=True)
    with pytest.raises(errors.UserError, match="no training video has an annotated action"):
        few.predict(sequences(none), test, lambda *_: 0.0, seed=0)


def test_targets_give_every_action_a_place_and_its_own_bounds():
    pyramid = segment_pyramid.SegmentPyramid(levels=3)
    times, scales = pyramid.places(16)
    assert len(times) == 16 + 8 + 4
    start, end = np.asarray([2.1, 2.25, 0.0]), np.asarray([5.3, 2.45, 15.0])
    hot, far = pyramid.targets(start, end, np.asarray([0, 1, 2]), 16, 3)
    assert (hot.sum(axis=0) >= 1).all()
    own = hot[:, 0] > 0
    np.testing.assert_allclose((times - far[:, 0] * scales)[own & (hot[:, 1] == 0)], 2.1, atol=1e-4)
    assert set(scales[hot[:, 2] > 0]) == {4.0}  # 15 steps: the last level
    hot, far = pyramid.targets(*(np.zeros(0),) * 3, 16, 3)
    assert not hot.any()


def test_the_time_of_a_window_is_its_middle():
    windows = window_sequences.Windows(16 / 15)
    np.testing.assert_allclose(windows.starts(4.4), np.arange(4) * 16 / 15, rtol=1e-6)
    assert len(windows.starts(0.2)) == 1
    found = items.ItemSet("v", (items.Item("x", extra={segments.DURATION: 2.7}),), (), lambda item: None)
    assert [(round(item.start, 3), round(item.end, 3)) for item in windows.cut(found).items] == [
        (0, 1.067), (1.067, 2.133), (2.133, 2.7)
    ]  # fmt: skip
    bare = items.ItemSet("v", (items.Item("x"),), (), lambda item: None)
    with pytest.raises(errors.UserError, match="the duration of 'x' in seconds, got None"):
        windows.cut(bare)


def test_windows_and_videos_that_cannot_be_read_are_counted():
    extra = {segments.DURATION: 3.0}
    found = items.ItemSet(
        "v", (items.Item("x", extra=extra), items.Item("y z", extra=extra)), (), lambda i: 0
    )
    windows = window_sequences.Windows(1.0)
    cut = windows.cut(found)
    kept = feature_set.Encoded(
        cut.subset([0, 2]), feature_set.InMemory(np.ones((2, 1, 4), np.float32)),
        {"x 1": "cut off", **{f"y z {number}": "no file" for number in range(3)}},
    )  # fmt: skip
    made = window_sequences.Sequences.of(found, kept, windows)
    assert [item.key for item in made.found.items] == ["x"]
    assert made.missing == {"y z": "no file"}
    assert made.lost == 1
    x, present = made.take(np.asarray([0]))
    assert present.tolist() == [[True, False, True]]
    assert x[0, :, 0].tolist() == [1, 0, 1]
    tokens = feature_set.Encoded(cut, feature_set.InMemory(np.ones((6, 1, 2, 2, 4), np.float32)), {})
    with pytest.raises(errors.UserError, match="pooling='frames', 'quarters', 'mean' or 'tower'"):
        window_sequences.Sequences.of(found, tokens, windows)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=7))
def test_soft_suppression_is_its_definition(rows):
    start, length, score = np.asarray(rows, float).T
    score = score / 10 + np.arange(len(rows)) * 1e-3  # no ties
    end = start + length
    expected, left = {}, {index: score[index] for index in range(len(rows))}
    while left:
        best = max(left, key=left.get)
        expected[best] = left.pop(best)
        for other in left:
            inside = max(0.0, min(end[best], end[other]) - max(start[best], start[other]))
            overlap = inside / (length[best] + length[other] - inside)
            left[other] *= np.exp(-(overlap**2) / 0.5)
    found = soft_suppression.suppressed(start, end, score, 0.5)
    np.testing.assert_allclose(found, [expected[index] for index in range(len(rows))], rtol=1e-9)


def test_classes_do_not_suppress_each_other_and_the_best_are_kept():
    same = segments.Predicted(
        np.zeros(3, int), np.asarray([0, 0, 1]), np.zeros(3), np.full(3, 4.0), np.asarray([0.9, 0.8, 0.7])
    )
    found = soft_suppression.SoftSuppression(after=2)(same)
    assert found.label.tolist() == [0, 1]
    assert found.score.tolist() == pytest.approx([0.9, 0.7])
    assert len(soft_suppression.SoftSuppression(sigma=0)(same)) == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: localisation_fit.Training(learning_rates=()), "learning rates above 0"),
        (lambda: localisation_fit.Training(steps=0), "steps and batch_size of 1 or more"),
        (lambda: localisation_fit.Training(held_out=1.0), "held_out must be in"),
        (lambda: segment_pyramid.SegmentPyramid(levels=0), "1 to 10 levels"),
        (lambda: soft_suppression.SoftSuppression(sigma=-1), "sigma of 0 or more"),
        (lambda: window_sequences.Windows(0.0), "seconds and hop above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, said):
    with pytest.raises(errors.UserError, match=said):
        make()
