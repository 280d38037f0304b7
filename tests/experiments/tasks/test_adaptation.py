"""Adaptation: what starts as the released model, what moves, and that it learns."""

import dataclasses
import functools

import cli
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from prismlab.core import errors, keys, trees
from prismlab.core.nn import layers
from prismlab.core.towers import presets, video, video_encoder
from prismlab.core.train import optim
from prismlab.data.loader import source
from prismlab.data.records import record
from prismlab.data.world import world
from prismlab.experiments.tasks import adapter, finetune, mixup, tuning

SIZE = presets.Size(dim=8, heads=2, mlp_dim=8, spatial_layers=2, temporal_layers=2, text_layers=1)
ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, SIZE, 2, 8, 4, remat="none", scan=True, position_std=1.0
)
TOWER = video.VideoTower(ENCODER, use_pooler=False, key=jax.random.key(1))
CLIPS = np.random.default_rng(0).integers(0, 255, (6, 2, 8, 8, 3), np.uint8)
FLOATS = jnp.asarray(CLIPS, jnp.float32) / 255.0
SETUP = tuning.Setup(
    optim.AdamW(optim.Schedule(1e-2), weight_decay=0.0), steps=3, batch_size=4, dropout=0.0, frames=2
)
HOME = source.Rendered(world.World(clips=16, resolution=16, frames=2), workers=0)


def test_untrained_adapters_change_nothing_and_trained_ones_leave_the_encoder_alone():
    encoder = TOWER.encoder
    changed, moving = adapter.adapted(encoder, 3, key=jax.random.key(0))
    np.testing.assert_array_equal(changed(FLOATS).x, encoder(FLOATS).x)
    paths = trees.flatten(eqx.filter(changed, moving))
    assert {path.rsplit("feed/", 1)[1] for path in paths} == {
        "down/kernel", "down/bias", "up/kernel", "up/bias", "scale",
    }  # fmt: skip
    assert paths["spatial/blocks/feed/down/kernel"].shape == (2, 8, 3)
    model = tuning.Classifier(
        changed, lambda x: x.mean(1), layers.Linear(8, 2, key=jax.random.key(2)), tuning.tokens_of, 0.0
    )
    moves = eqx.tree_at(lambda m: m.encoder, jax.tree.map(eqx.is_inexact_array, model), moving)
    trained = tuning.fit(model, moves, CLIPS, np.arange(6) % 2, SETUP, key=jax.random.key(3))
    before, after = trees.flatten(changed), trees.flatten(trained.encoder)
    differ = {name for name in before if not np.array_equal(before[name], after[name])}
    assert differ
    assert differ <= set(paths)
    padded = changed.spatial.blocks.feed
    one = jax.tree.map(lambda leaf: leaf[0], trained.encoder.spatial.blocks.feed)
    assert type(one) is type(padded)
    x = jnp.ones((1, 2, 8))
    np.testing.assert_array_equal(one(x, jnp.array([[0.0, 1.0]]))[0, 1], 0.0)


@pytest.mark.slow
def test_fitting_learns_what_can_be_learnt_and_is_the_same_twice():
    bright = (np.arange(32) % 2).astype(int)
    clips = (
        np.zeros((32, 2, 8, 8, 3), np.uint8) + (60 + 120 * bright).astype(np.uint8)[:, None, None, None, None]
    )
    setup = tuning.Setup(optim.AdamW(optim.Schedule(1e-2)), steps=30, batch_size=8, dropout=0.1)
    model = tuning.Classifier(
        TOWER.encoder, lambda x: x.mean(1), layers.Linear(8, 2, key=jax.random.key(2)), tuning.tokens_of, 0.1
    )
    moving = jax.tree.map(eqx.is_inexact_array, model)
    first, second = (
        tuning.fit(model, moving, clips, bright, setup, key=keys.seeded(0, "a")) for _ in range(2)
    )
    assert trees.digest(trees.flatten(first)) == trees.digest(trees.flatten(second))
    assert (first(jnp.asarray(clips, jnp.float32) / 255.0).argmax(1) == bright).all()


class Relabelled:
    """Keeps the clips and gives each the neighbour's target."""

    def __call__(self, video, targets, weight, *, key):
        return video, jnp.roll(targets, 1, axis=0)


def test_mixes_reach_clips_and_targets():
    model = tuning.Classifier(
        TOWER.encoder, lambda x: x.mean(1), layers.Linear(8, 2, key=jax.random.key(2)), tuning.tokens_of, 0.0
    )
    moving = jax.tree.map(lambda leaf: False, model)
    moving = eqx.tree_at(lambda m: (m.linear.kernel, m.linear.bias), moving, (True, True))
    targets = np.arange(6) % 2

    def fitted(*mix):
        setup = dataclasses.replace(SETUP, steps=2, mix=mix)
        return tuning.fit(model, moving, CLIPS, targets, setup, key=keys.seeded(0, "a")).linear.kernel

    assert jnp.abs(fitted(Relabelled()) - fitted()).max() > 1e-3


def test_each_mix_has_its_turn():
    targets = jnp.eye(6)
    ways = (mixup.Mixup(), Relabelled())
    drawn = [tuning._mixed(ways, FLOATS, targets, jax.random.key(seed)) for seed in range(8)]
    kept = [bool(jnp.array_equal(clips, FLOATS)) for clips, _ in drawn]
    assert 0 < sum(kept) < 8
    for keep, (_, mixed) in zip(kept, drawn):
        assert keep == bool(jnp.array_equal(mixed, jnp.roll(targets, 1, axis=0)))


def test_dropout_is_of_training_only():
    model = tuning.Classifier(
        TOWER.encoder, lambda x: x.mean(1), layers.Linear(8, 2, key=jax.random.key(2)), tuning.tokens_of, 0.5
    )
    np.testing.assert_array_equal(model(FLOATS), model(FLOATS))
    assert not np.allclose(model(FLOATS), model(FLOATS, jax.random.key(0)))


def test_labels_of_a_user_s_own_clips():
    made = lambda *labels: [record.Record(str(i), b"x", "a", labels={"act": v}) for i, v in enumerate(labels)]
    classes, targets, right = tuning._targets("act", made("run", "eat", "run"), made("eat"))
    assert classes == ("eat", "run")
    assert targets.tolist() == [1, 0, 1]
    assert right.tolist() == [0]
    with pytest.raises(errors.UserError, match=r"test clips have \['fly'\]"):
        tuning._targets("act", made("run"), made("fly"))
    with pytest.raises(errors.UserError, match="no label 'kind'"):
        tuning._targets("kind", made("run"), made("run"))


def test_mistakes_are_one_line():
    with pytest.raises(errors.UserError, match="tower with an encoder"):
        finetune.FineTuning(HOME, HOME, SETUP)(
            {"video": tiny.Line(key=jax.random.key(0))}, seed=0, cache=cli.CACHE
        )
    for fields in ({"steps": 0}, {"dropout": 1.0}, {"label_smoothing": -0.1}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="|".join(fields)):
            tuning.Setup(optim.AdamW(), **fields)
    with pytest.raises(ValueError, match="bottleneck"):
        adapter.AdapterTuning(HOME, HOME, SETUP, bottleneck=0)
