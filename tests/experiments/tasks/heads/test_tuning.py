"""Heads that train inside the encoder: what moves, that they learn, and nothing from shuffled labels."""

import dataclasses
import functools
import io
import types
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors, trees
from prismlab.core.nn import layers
from prismlab.core.towers import presets, video, video_encoder
from prismlab.core.train import optim
from prismlab.data.loader import augment
from prismlab.data.records import record
from prismlab.experiments.tasks import benchmark
from prismlab.experiments.tasks.features import encoder_pass, feature_set, keeping
from prismlab.experiments.tasks.heads import adapter, mixup, targets, tuning
from prismlab.experiments.tasks.interface import items, protocols
from prismlab.experiments.tasks.metrics import accuracy

SIZE = presets.Size(dim=8, heads=2, mlp_dim=8, spatial_layers=2, temporal_layers=2, text_layers=1)
ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, SIZE, 2, 8, 4, remat="none", scan=True, position_std=1.0
)
CLIPS = np.random.default_rng(0).integers(0, 255, (6, 2, 8, 8, 3), np.uint8)
FLOATS = jnp.asarray(CLIPS, jnp.float32) / 255.0
HOW = protocols.Protocol(frames=2, resolution=8)
QUICK = tuning.Tuning(
    optimizer=optim.AdamW(optim.Schedule(2e-2), weight_decay=0.0),
    steps=25,
    batch_size=16,
    heads=2,
    dropout=0.0,
)
CHANGES = {"adapters": adapter.Adapters(3), "end to end": tuning.EndToEnd()}


@functools.cache
def initial():
    return video.VideoTower(ENCODER, use_pooler=False, key=jax.random.key(1))


COLOURS = ((220, 20, 20), (20, 220, 20), (20, 20, 220), (110, 110, 110))


@functools.cache
def pictures(colour, number):
    rng = np.random.default_rng([colour, number])
    made = []
    for _ in range(2):
        file = io.BytesIO()
        noise = rng.integers(0, 30, (8, 8, 3)) + COLOURS[colour]
        Image.fromarray(noise.astype(np.uint8)).save(file, "PNG")
        made.append(file.getvalue())
    return tuple(made)


@dataclasses.dataclass(frozen=True)
class Coloured:
    """Reader of clips of four colours, whose labels are their colour or drawn at random."""

    shuffled: bool = False
    counts: tuple[tuple[str, int], ...] = (("train", 32), ("test", 64))
    sets: bool = False

    def read(self, split, cache):
        """Return the items of a split."""
        rng = np.random.default_rng(len(split))
        count = dict(self.counts)[split]
        shown = np.arange(count) % 4
        told = rng.permutation(shown) if self.shuffled else shown
        extra = [(4 + int(row),) if self.sets else () for row in shown]
        found = tuple(
            items.Item(f"{split}{index}", labels=(int(told[index]), *extra[index]),
                       extra={"colour": int(shown[index]), "number": index % 5})
            for index in range(count)
        )  # fmt: skip
        sets = (("colour", 4), ("again", 4)) if self.sets else ()
        names = tuple("abcdefgh"[: 8 if self.sets else 4])
        return items.ItemSet(split, found, names, load=loaded, label_sets=sets)


def loaded(item):
    return record.of_frames(item.key, list(pictures(item.extra["colour"], item.extra["number"])), "a clip")


def streamed(found, how=HOW):
    encoder = encoder_pass.EncoderPass(initial(), how, 8)
    return [feature_set.Streamed(found, encoder, number) for number in range(how.passes)]


TOP_1 = (accuracy.TopK(1),)


def evaluated(reader, head, how=HOW, metrics=TOP_1, tower=None):
    task = benchmark.Benchmark(
        reader, head=head, protocol=how, metrics=metrics, features=keeping.Keeping("streamed")
    )
    return task({"video": initial() if tower is None else tower}, seed=0, cache=None)


@pytest.mark.slow  # trains an encoder twice
@pytest.mark.parametrize("change", ["adapters", "end to end"])
def test_a_benchmark_is_learnt_and_shuffled_labels_give_chance(change):
    before = trees.digest(trees.flatten(initial()))
    head = dataclasses.replace(QUICK, change=CHANGES[change])
    score = evaluated(Coloured(), head)["top-1 accuracy"]
    assert score.value > 0.95
    assert score.protocol["tuned"] == CHANGES[change].words
    assert score.protocol["train items"] == 32
    assert len(score.outcomes["log_likelihood"][0]) == 64
    chance = evaluated(Coloured(shuffled=True), head)["top-1 accuracy"]  # of the same program
    assert abs(chance.value - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 64)
    assert trees.digest(trees.flatten(initial())) == before, "the encoder that was given has changed"


@pytest.mark.slow
def test_label_sets_views_passes_and_seeds_of_a_benchmark():
    how = dataclasses.replace(
        HOW, stride=1, clips=2, passes=2, augment=(augment.ColourJitter(probability=1.0),)
    )
    reader = Coloured(counts=(("train", 16), ("test", 6)), sets=True)
    metrics = (accuracy.TopK(1, "colour"), accuracy.TopK(1, "again"))
    head = dataclasses.replace(QUICK, change=adapter.Adapters(2), seeds=2, steps=2, batch_size=4)
    first, second = (evaluated(reader, head, how, metrics) for _ in range(2))
    assert first == second
    for score in first.values():
        assert len(score.outcomes["log_likelihood"]) == 2
        assert score.protocol["views"] == 2


class Relabelled:
    """Keeps the clips and gives each the neighbour's target."""

    def __call__(self, video, targets, weight, *, key):
        return video, jnp.roll(targets, 1, axis=0)


@pytest.mark.long
def test_untrained_adapters_change_nothing_and_trained_ones_leave_the_encoder_alone():
    encoder = initial().encoder
    changed, moving = adapter.adapted(encoder, 3, key=jax.random.key(0))
    encoded = eqx.filter_jit(lambda encoder: encoder(FLOATS).x)
    np.testing.assert_array_equal(encoded(changed), encoded(encoder))
    paths = trees.flatten(eqx.filter(changed, moving))
    assert {path.rsplit("feed/", 1)[1] for path in paths} == {
        "down/kernel", "down/bias", "up/kernel", "up/bias", "scale",
    }  # fmt: skip
    assert paths["spatial/blocks/feed/down/kernel"].shape == (2, 8, 3)
    head = dataclasses.replace(QUICK, change=adapter.Adapters(3), steps=3, batch_size=4)
    model, moves = head.build(encoder, 4, key=jax.random.key(0))
    found = Coloured().read("train", None)
    wanted = targets.Targets.of(found)
    trained = head.fit(model, moves, streamed(found), wanted, seed=0, key=jax.random.key(3))
    changed = model.encoder
    before, after = trees.flatten(changed), trees.flatten(trained.encoder)
    differ = {name for name in before if not np.array_equal(before[name], after[name])}
    assert differ
    assert differ <= set(paths)
    padded = changed.spatial.blocks.feed
    one = jax.tree.map(lambda leaf: leaf[0], trained.encoder.spatial.blocks.feed)
    assert type(one) is type(padded)
    x = jnp.ones((1, 2, 8))
    np.testing.assert_array_equal(one(x, jnp.array([[0.0, 1.0]]))[0, 1], 0.0)


class Blocks(eqx.Module):
    """A tower and its encoder at once that compile in no time: the mean colours of quarters of a frame."""

    temporal_norm: layers.LayerNorm
    pooler: ClassVar[None] = None

    def __init__(self):
        self.temporal_norm = layers.LayerNorm(3)

    @property
    def encoder(self):
        """Return what is tuned."""
        return self

    def __call__(self, clips):
        blocks = clips.reshape(len(clips), 2, 2, 4, 2, 4, 3).mean((3, 5))
        return types.SimpleNamespace(x=self.temporal_norm(blocks.reshape(len(clips), -1, 3)))


@pytest.mark.long
def test_a_mix_reaches_the_targets():
    found = Coloured().read("train", None)
    head = dataclasses.replace(QUICK, heads=1, steps=3, batch_size=4)
    model, moves = head.build(Blocks(), 4, key=jax.random.key(0))
    first, other = (
        dataclasses.replace(head, mix=mix).fit(
            model, moves, streamed(found), targets.Targets.of(found), seed=0, key=jax.random.key(3)
        )
        for mix in ((), (Relabelled(),))
    )
    assert jnp.abs(other.head.linear.kernel - first.head.linear.kernel).max() > 1e-3


def test_each_mix_has_its_turn():
    whole = jnp.eye(6)
    ways = (mixup.Mixup(), Relabelled())
    draw = jax.jit(lambda key: tuning.mixed(ways, FLOATS, whole, key))
    drawn = [draw(jax.random.key(seed)) for seed in range(8)]
    kept = [bool(jnp.array_equal(clips, FLOATS)) for clips, _ in drawn]
    assert 0 < sum(kept) < 8
    for keep, (_, mixed) in zip(kept, drawn):
        assert keep == bool(jnp.array_equal(mixed, jnp.roll(whole, 1, axis=0)))


def test_dropout_is_of_training_only():
    head = dataclasses.replace(QUICK, heads=1, dropout=0.5)
    model, _ = head.build(Blocks(), 2, key=jax.random.key(0))
    logits = eqx.filter_jit(lambda key: model(FLOATS, key))
    np.testing.assert_array_equal(logits(None), logits(None))
    assert not np.allclose(logits(None), logits(jax.random.key(0)))


@pytest.mark.parametrize(
    ("mode", "protocol", "match"),
    [
        ("stored", {}, "got 'stored'; set keeping.Keeping.mode to 'streamed'"),
        ("memory", {}, "got 'memory'"),
        ("streamed", {"pooling": "mean"}, r"got pooling='mean' and layers=1"),
        ("streamed", {"layers": 2}, r"got pooling='attention' and layers=2"),
    ],
)
def test_a_benchmark_that_keeps_features_is_refused_before_it_reads_a_clip(mode, protocol, match):
    with pytest.raises(errors.UserError, match=match):
        benchmark.Benchmark(
            Coloured(),
            head=QUICK,
            protocol=dataclasses.replace(HOW, **protocol),
            features=keeping.Keeping(mode),
        )


def test_mistakes_are_one_line():
    with pytest.raises(errors.UserError, match="tower with an encoder"):
        tuning.encoder_of(object())
    for fields in (
        {"steps": 0},
        {"dropout": 1.0},
        {"label_smoothing": -0.1},
        {"batch_size": 0},
        {"seeds": 0},
    ):
        with pytest.raises(errors.UserError, match="|".join(fields)):
            tuning.Tuning(**fields)
    with pytest.raises(errors.UserError, match="bottleneck"):
        adapter.Adapters(0)
    diverging = optim.AdamW(optim.Schedule(1e30), clip_norm=None)
    reader = Coloured(counts=(("train", 8), ("test", 2)))
    with pytest.raises(errors.UserError, match="the loss was not finite"):
        evaluated(
            reader,
            dataclasses.replace(QUICK, optimizer=diverging, heads=1, steps=3, batch_size=4),
            tower=Blocks(),
        )
