"""Heads of boxes: RoIAlign is its definition; oracle tokens are near perfect, shuffled labels at chance."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads.localisation import box_query, localisation_fit, roi_align, spatial
from prismlab.experiments.tasks.interface import boxes, items
from prismlab.experiments.tasks.metrics.detection import frame_precision

FRAMES, SIDE, CLASSES = 2, 8, 4
METRIC = frame_precision.FramePrecision()


def defined(features, shares, size, samples):
    """Return RoIAlign, sample by sample."""
    height, width, depth = features.shape
    found = np.zeros((size, size, depth))
    for i in range(size):
        for j in range(size):
            for a in range(samples):
                for b in range(samples):
                    down = shares[1] + (shares[3] - shares[1]) * (i + (a + 0.5) / samples) / size
                    right = shares[0] + (shares[2] - shares[0]) * (j + (b + 0.5) / samples) / size
                    y = min(max(down * height - 0.5, 0), height - 1)
                    x = min(max(right * width - 0.5, 0), width - 1)
                    top, left = math.floor(y), math.floor(x)
                    under, beside = min(top + 1, height - 1), min(left + 1, width - 1)
                    dy, dx = y - top, x - left
                    found[i, j] += (
                        features[top, left] * (1 - dy) * (1 - dx) + features[under, left] * dy * (1 - dx)
                        + features[top, beside] * (1 - dy) * dx + features[under, beside] * dy * dx
                    ) / samples**2  # fmt: skip
    return found


@pytest.mark.parametrize("shares", [(0.1, 0.2, 0.7, 0.9), (0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.41, 0.6)])
def test_roi_align_is_its_definition(shares):
    features = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    found = roi_align.roi_align(jnp.asarray(features), jnp.asarray(shares), 3, 2)
    np.testing.assert_allclose(found, defined(features, shares, 3, 2), atol=1e-5)


def oracle(count, name):
    """Return keyframes of up to two boxes, whose tokens tell the class of the box that they are inside of."""
    rng, made, tokens = np.random.default_rng([count, len(name)]), [], []
    for row in range(count):
        grid, own = rng.normal(size=(FRAMES, SIDE, SIDE, 8)) * 0.1, []
        for left in (0, 4)[: rng.integers(1, 3)]:
            x, y = left + rng.integers(0, 2), rng.integers(0, 5)
            label = int(rng.integers(CLASSES))
            grid[:, y : y + 3, x : x + 3, label] += 1.0
            own.append(boxes.Box((x / 8, y / 8, (x + 3) / 8, (y + 3) / 8), (label,)))
        made.append(items.Item(f"{name}{row}", extra={boxes.BOXES: tuple(own)}))
        tokens.append(grid.reshape(1, -1, 8))
    found = items.ItemSet(name, tuple(made), tuple("abcd"), lambda item: None, multi_label=True)
    return feature_set.Encoded(found, feature_set.InMemory(np.asarray(tokens, np.float32)), {})


@pytest.fixture(scope="module")
def world():
    return oracle(120, "train"), oracle(60, "test")


def predicted(world, maps="mean", steps=120, **more):
    head = spatial.Spatial(
        box_query.BoxQuery(heads=2, size=3, maps=maps),
        localisation_fit.Training(learning_rates=(1e-5, 1e-2), seeds=1, steps=steps, batch_size=16),
    )
    train, test = world
    given = [tuple(boxes.Detection(each.shares, 1.0) for each in item.extra[boxes.BOXES])
             for item in test.found.items]  # fmt: skip
    measure = lambda said, found: METRIC.match(said, found).value()
    (said,), facts = head.predict(train, test, given, measure, frames=FRAMES, seed=0, **more)
    return measure(said, test.found), facts


@pytest.mark.slow
@pytest.mark.parametrize("maps", ["mean", "frames"])
def test_tokens_that_tell_the_class_of_a_box_are_read_and_shuffled_labels_are_at_chance(world, maps):
    found, facts = predicted(world, maps)
    assert found > 0.95
    assert facts["learning rate"] == 1e-2
    if maps == "mean":
        control, _ = predicted(world, maps, shuffled=True)
        assert control < 0.45  # one class of four


def test_a_head_needs_a_map_for_each_frame():
    query = box_query.BoxQuery(heads=2)
    with pytest.raises(errors.UserError, match="tokens of 2 square maps"):
        query.build((9, 8), 2, CLASSES, key=jax.random.key(0))
    with pytest.raises(errors.UserError, match="tokens of 2 square maps"):
        query.build((8,), 2, CLASSES, key=jax.random.key(0))
    with pytest.raises(errors.UserError, match="maps of"):
        box_query.BoxQuery(maps="best")


@pytest.mark.long
def test_keyframes_without_boxes_are_not_trained_on_and_a_split_without_any_is_refused(world):
    train, test = world
    bare = tuple(items.Item(item.key) for item in train.found.items)
    none = items.ItemSet("t", bare, train.found.classes, train.found.load, multi_label=True)
    with pytest.raises(errors.UserError, match="no training keyframe has an annotated box"):
        predicted((feature_set.Encoded(none, train.features, {}), test), steps=1)
    some = items.ItemSet("t", (*train.found.items[:20], *bare[20:]), train.found.classes, train.found.load,
                         multi_label=True)  # fmt: skip
    _, facts = predicted((feature_set.Encoded(some, train.features, {}), test), steps=1)
    assert facts["train items"] + 2 == 20  # an eighth of 20 is held out


@pytest.mark.slow
def test_unused_places_of_boxes_do_not_matter(world):
    query = box_query.BoxQuery(heads=2, size=3)
    head = query.build((FRAMES * SIDE**2, 8), FRAMES, CLASSES, key=jax.random.key(1))
    x = jnp.asarray(world[0].features.take(np.arange(2))[:, 0])
    shares = jnp.asarray([[[0.1, 0.1, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]]] * 2)
    np.testing.assert_allclose(head(x, shares)[:, :1], head(x, shares[:, :1]), atol=1e-5)
