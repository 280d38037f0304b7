"""Heads learn what the features say, and nothing else: oracle and shuffled labels, selection, determinism."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import head_grid, nearest, probe, separate, targets, whitening
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import accuracy, average_precision
from prismlab.experiments.tasks.readers import labelled_files

CLASSES = ("a", "b", "c", "d")
SMALL = head_grid.Grid(
    learning_rates=(1e-2, 3e-2), weight_decays=(0.0, 1e-2), seeds=2, steps=60, batch_size=32
)
HEADS = {
    "attention": (probe.Probe(probe.Attention(heads=2), SMALL), True),
    "multi-layer": (probe.Probe(probe.MultiLayer(heads=2), dataclasses.replace(SMALL, steps=150)), "layers"),
    "linear": (probe.Probe(probe.Linear(), SMALL), False),
    "nearest": (nearest.Nearest(5), True),
}
# test_multi_layer.py has the faster tests of a head of several layers.
SHOWN = [pytest.param(name, marks=[pytest.mark.slow] * (name == "multi-layer")) for name in HEADS]


def encoded(name: str, count: int, *, tokens: bool | str, shuffle: bool = False, multi: bool = False):
    """Return items whose features are their labels with noise."""
    rng = np.random.default_rng(len(name))
    truth = rng.random((count, 4)) < 0.4 if multi else np.eye(4, dtype=bool)[rng.integers(4, size=count)]
    features = np.zeros((count, 1, 3, 8), np.float32)
    features[:, 0, 1, :4] = 3 * truth
    features += 0.3 * rng.standard_normal(features.shape).astype(np.float32)
    labels = rng.permutation(truth) if shuffle else truth
    found = tuple(
        items.Item(f"{name}{index}", labels=tuple(np.flatnonzero(row).tolist()))
        for index, row in enumerate(labels)
    )
    array = features if tokens else features.mean(2)
    if tokens == "layers":  # the truth is in the first of two layers
        array = np.stack([features, features[:, :, [0, 2, 0]]], axis=2)
    item_set = items.ItemSet(name, found, CLASSES, load=None, multi_label=multi)
    return feature_set.Encoded(item_set, feature_set.InMemory(array), {})


def top_1(scores, found):
    return accuracy.TopK(1)(scores, found).value


@pytest.mark.long
@pytest.mark.parametrize("name", SHOWN)
def test_oracle_features_are_read_almost_perfectly(name):
    head, tokens = HEADS[name]
    test = encoded("test", 80, tokens=tokens)
    predicted = head.predict(encoded("train", 300, tokens=tokens), test, top_1, seed=0)
    assert min(top_1(scores, test.found) for scores in predicted.scores) > 0.95


@pytest.mark.parametrize("name", SHOWN)
def test_shuffled_labels_give_chance(name):
    head, tokens = HEADS[name]
    test = encoded("test", 400, tokens=tokens, shuffle=True)
    predicted = head.predict(encoded("train", 300, tokens=tokens, shuffle=True), test, top_1, seed=0)
    value = np.mean([top_1(scores, test.found) for scores in predicted.scores])
    assert abs(value - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 400)


def test_several_labels_are_learnt():
    head, tokens = HEADS["attention"]
    test = encoded("test", 80, tokens=tokens, multi=True)
    right = lambda scores, found: float(((scores > 0.5) == found.multi_hot()).mean())
    predicted = head.predict(encoded("train", 300, tokens=tokens, multi=True), test, right, seed=0)
    assert right(predicted.scores[0], test.found) > 0.95


def test_the_test_items_do_not_choose_the_head():
    head, tokens = HEADS["linear"]
    train = encoded("train", 300, tokens=tokens)
    test, other = encoded("test", 40, tokens=tokens), encoded("test", 40, tokens=tokens, shuffle=True)
    first, second = (head.predict(train, each, top_1, seed=0) for each in (test, other))
    for fact in ("learning rate", "weight decay"):
        assert first.facts[fact] == second.facts[fact]
    np.testing.assert_array_equal(first.scores, second.scores)
    assert len(first.facts["grid"]) == 4
    assert first.facts["best on test"] != second.facts["best on test"]


@pytest.mark.long
def test_a_head_of_a_grid_equals_the_head_trained_alone():
    alone = head_grid.Grid((3e-2,), (1e-2,), seeds=1, steps=20, batch_size=32)
    together = head_grid.Grid((1e-2, 3e-2), (0.0, 1e-2), seeds=2, steps=20, batch_size=32)
    train = encoded("train", 100, tokens=True)
    make = lambda size: lambda key: probe.Attention(2, size).build((3, 8), 4, key=key)
    rows, wanted = np.arange(100), targets.Targets.of(train.found)
    fit = lambda makes, grid: head_grid.fit(makes, train.features, wanted, rows, grid, seed=3)
    one = fit([make(8)], alone).outputs(train.features, 50)
    all_of_them = fit([make(4), make(8)], together)
    assert all_of_them.points[7] == (1, 3e-2, 1e-2)
    np.testing.assert_allclose(all_of_them.outputs(train.features, 50)[7, 0], one[0, 0], atol=1e-5)


@pytest.mark.slow
def test_the_pooler_size_is_an_axis_of_the_grid():
    head = probe.Probe(probe.Attention(heads=2), SMALL, sizes=(2, 8))  # 8 is the size of the other tests
    train = encoded("train", 300, tokens=True)
    facts = head.predict(train, train, top_1, seed=0).facts
    assert [point["pooler size"] for point in facts["grid"]] == [2] * 4 + [8] * 4
    best = max(facts["grid"], key=lambda point: np.mean(point["held out"]))
    assert {name: facts[name] for name in ("pooler size", "learning rate", "weight decay")} == {
        name: best[name] for name in ("pooler size", "learning rate", "weight decay")
    }
    with pytest.raises(errors.UserError, match="Linear has no pooler"):
        probe.Probe(probe.Linear(), SMALL, sizes=(2,))


def two_sets(name, count, *, shuffle=False):
    """Return items with a label of two sets each, which their features show."""
    rng = np.random.default_rng(len(name))
    labels = np.stack([rng.integers(2, size=count), rng.integers(3, size=count)], 1)
    features = np.concatenate([np.eye(2)[labels[:, 0]], np.eye(3)[labels[:, 1]]], 1)[:, None]
    features = (3 * features + 0.3 * rng.standard_normal(features.shape)).astype(np.float32)
    shown = rng.permutation(labels) if shuffle else labels
    found = tuple(items.Item(f"{name}{i}", labels=(int(a), 2 + int(b))) for i, (a, b) in enumerate(shown))
    sets = (("verb", 2), ("noun", 3))
    item_set = items.ItemSet(name, found, ("v0", "v1", "n0", "n1", "n2"), load=None, label_sets=sets)
    return feature_set.Encoded(item_set, feature_set.InMemory(features), {})


@pytest.mark.parametrize("name", ["linear", "nearest"])
def test_two_label_sets_of_a_clip_are_learnt_together(name):
    head, _ = HEADS[name]
    test = two_sets("test", 80)
    scores = head.predict(two_sets("train", 300), test, top_1, seed=0).scores[0]
    np.testing.assert_allclose(scores[:, :2].sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(scores[:, 2:].sum(1), 1.0, atol=1e-5)
    for label_set in ("verb", "noun", ""):
        assert accuracy.TopK(1, label_set)(scores, test.found).value > 0.95
    blind = two_sets("test", 400, shuffle=True)
    scores = head.predict(two_sets("train", 300, shuffle=True), blind, top_1, seed=0).scores[0]
    for label_set, chance in (("verb", 1 / 2), ("noun", 1 / 3), ("", 1 / 6)):
        found = accuracy.TopK(1, label_set)(scores, blind.found)
        assert found.chance == pytest.approx(chance)
        assert abs(found.value - chance) < 3 * np.sqrt(chance * (1 - chance) / 400)


def test_shuffled_labels_of_several_give_chance():
    head, tokens = HEADS["attention"]
    test = encoded("test", 400, tokens=tokens, multi=True, shuffle=True)
    train = encoded("train", 300, tokens=tokens, multi=True, shuffle=True)
    measure = average_precision.MeanAveragePrecision()
    predicted = head.predict(train, test, lambda scores, found: measure(scores, found).value, seed=0)
    found = measure(predicted.scores[0], test.found)
    assert abs(found.value - found.chance) < 0.06


@pytest.mark.parametrize(("name", "tokens"), [("attention", False), ("linear", True)])
def test_features_of_another_shape_are_refused(name, tokens):
    train = encoded("train", 40, tokens=tokens)
    with pytest.raises(errors.UserError, match=r"does not read features of shape .*; set the protocol to"):
        HEADS[name][0].predict(train, train, top_1, seed=0)


def test_items_are_held_out_by_group():
    found = encoded("train", 400, tokens=False).found
    grouped = items.ItemSet(
        "g",
        tuple(items.Item(i.key, labels=i.labels, group=f"g{n % 40}") for n, i in enumerate(found.items)),
        CLASSES,
        load=None,
    )
    held = probe.held_out(grouped, 0.25)
    assert 0.1 < held.mean() < 0.4
    by_group = {item.group: set() for item in grouped.items}
    for item, flag in zip(grouped.items, held):
        by_group[item.group].add(bool(flag))
    assert all(len(flags) == 1 for flags in by_group.values())


def test_a_metric_without_a_value_on_the_held_out_part_says_which_part():
    train = encoded("train", 40, tokens=False)
    held = probe.held_out(train.found, SMALL.held_out)
    labels = [(3,) if flag else (index % 3,) for index, flag in enumerate(held)]
    found = tuple(dataclasses.replace(item, labels=each) for item, each in zip(train.found.items, labels))
    background = dataclasses.replace(train.found, items=found, background=3)
    train = dataclasses.replace(train, found=background)
    measure = lambda scores, found: accuracy.ClassAccuracy()(scores, found).value
    with pytest.raises(errors.UserError, match=r"held out by head_grid.Grid.held_out=0.125: no item has"):
        HEADS["linear"][0].predict(train, train, measure, seed=0)


def test_training_and_scoring_say_how_much_is_left(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    monkeypatch.setattr(head_grid.batches, "RESIDENT_STEPS", 20)
    head, tokens = HEADS["linear"]
    train, told = encoded("train", 100, tokens=tokens), []
    with progress.heard(told.append):
        head.predict(train, train, top_1, seed=0)
    for what in (
        "features: batches read",
        "heads: training steps: 20 of 60, ",
        "heads: batches of items scored",
    ):
        assert any(text.startswith(what) and text.endswith(" left") for text in told), what


def test_too_few_items_are_refused():
    head, tokens = HEADS["linear"]
    train = encoded("train", 1, tokens=tokens)
    with pytest.raises(errors.UserError, match="to train on or to hold out"):
        head.predict(train, train, top_1, seed=0)


def test_names_that_were_split_by_a_hash_are_still_held_out():
    names = [f"{index}.mp4" for index in range(40)]
    train = [name for name in names if labelled_files.split_of(name, 0.25) == "train"]
    found = items.ItemSet("g", tuple(items.Item(name, labels=(0,)) for name in train), CLASSES, load=None)
    assert probe.held_out(found, 0.25).sum() == round(0.25 * len(train))


@pytest.mark.long
def test_a_head_of_each_label_set_is_the_head_that_it_would_be_alone():
    train = two_sets("train", 60)
    grid = head_grid.Grid((3e-2,), (0.0,), seeds=2, steps=10, batch_size=16, own_order=True)
    head = separate.Separate(probe.Linear(), (2, 3))
    both = probe.Probe(head, grid).train(train, seed=0).fitted.outputs(train.features, 60)
    verb = dataclasses.replace(train, found=train.found.of_set("verb"))
    alone = probe.Probe(separate.Separate(probe.Linear(), (2,)), grid).train(verb, seed=0)
    np.testing.assert_allclose(both[..., :2], alone.fitted.outputs(train.features, 60), atol=1e-5)
    with pytest.raises(errors.UserError, match="expected 2 classes in all"):
        probe.Probe(head, grid).train(verb, seed=0)


@pytest.mark.parametrize("key", [None, jax.random.key(3)], ids=["scored", "trained"])
def test_heads_of_several_label_sets_pool_as_each_would_alone(key):
    head = separate.Separate(probe.Attention(heads=2, dropout=0.5), (2, 3))
    built = head.build((5, 4), 5, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (6, 5, 4))
    alone = jnp.concatenate([part(x, key) for part in built.parts], axis=-1)
    np.testing.assert_allclose(built(x, key), alone, atol=1e-5)


def test_heads_of_further_seeds_have_an_order_of_their_own_and_the_first_stays_the_same():
    train = encoded("train", 100, tokens=False)
    shared = dataclasses.replace(SMALL, steps=8)
    first, apart = (
        probe.Probe(probe.Linear(), grid).train(train, seed=0).outputs
        for grid in (shared, dataclasses.replace(shared, own_order=True))
    )
    np.testing.assert_allclose(first[:, 0], apart[:, 0], atol=1e-5)
    assert np.abs(first[:, 1] - apart[:, 1]).max() > 1e-3


def test_orders_train_at_once_on_an_accelerator(monkeypatch):
    train = encoded("train", 60, tokens=False)
    grid = head_grid.Grid((3e-2,), seeds=2, steps=6, batch_size=16, own_order=True)
    in_turn = probe.Probe(probe.Linear(), grid).train(train, seed=0).outputs
    mapped = []
    monkeypatch.setattr(head_grid.jax, "default_backend", lambda: "tpu")
    monkeypatch.setattr(head_grid.jax.lax, "map", mapped.append)
    at_once = probe.Probe(probe.Linear(), grid).train(train, seed=0).outputs
    np.testing.assert_allclose(in_turn, at_once, atol=1e-5)
    assert not mapped


def test_a_head_of_a_grid_is_the_head_that_it_would_be_alone():
    train = encoded("train", 60, tokens=False)
    rates, settings = (1e-3, 3e-2), {"seeds": 2, "steps": 6, "batch_size": 16, "own_order": True}
    whole = probe.Probe(probe.Linear(), head_grid.Grid(rates, (0.0, 0.5), **settings)).train(train, seed=0)
    alone = probe.Probe(probe.Linear(), head_grid.Grid(rates[1:], (0.5,), **settings)).train(train, seed=0)
    np.testing.assert_allclose(whole.outputs[3], alone.outputs[0], atol=1e-5)
    assert np.abs(whole.outputs[3] - whole.outputs[2]).max() > 1e-3


def test_whitened_features_are_uncorrelated_on_the_training_items():
    rng = np.random.default_rng(0)
    mixed = (rng.normal(size=(400, 1, 3, 4)) @ rng.normal(size=(4, 4)) + 5).astype(np.float32)
    train = dataclasses.replace(encoded("train", 400, tokens=True), features=feature_set.InMemory(mixed))
    made, test = whitening.whitened(train, train)
    flat = made.features.take(np.arange(400)).reshape(-1, 4)
    np.testing.assert_allclose(flat.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(4), atol=0.15)
    np.testing.assert_array_equal(test.features.take(np.arange(3)), made.features.take(np.arange(3)))
