"""Features are encoded once for all tasks, survive a kill, and are equal in memory, stored and streamed."""

import dataclasses
import functools

import clips
import jax
import numpy as np
import pytest
import tiny

from prismlab.core import errors
from prismlab.data.loader import augment
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_key, feature_store, filling, keeping, row_identity
from prismlab.experiments.tasks.heads import head_grid, probe
from prismlab.experiments.tasks.metrics import accuracy

# One row of features has 2048 bytes: one clip a shard, unless a test says otherwise.
STORED = keeping.Keeping()
AUGMENTED = dataclasses.replace(clips.SMALL, passes=3, augment=(augment.ColourJitter(probability=1.0),))


@functools.cache
def tower():
    return tiny.QUICK["video"](key=jax.random.key(0))


def small_shards(monkeypatch, rows):
    monkeypatch.setattr(feature_store, "MOST_ROWS", rows)


def test_a_second_task_on_the_same_clips_costs_no_encoder_pass(tmp_path):
    encoder = clips.Counting(tower())
    first = STORED.encode(clips.made(9, "one"), encoder, tmp_path)
    assert encoder.seen == 9
    other = clips.Counting(tower())
    again = STORED.encode(clips.made(9, "two", classes=3), other, tmp_path)
    assert other.seen == 0
    rows = np.arange(9)
    np.testing.assert_array_equal(first.features.take(rows), again.features.take(rows))
    more = STORED.encode(clips.made(7, "three", first=5), other, tmp_path)
    assert other.seen == 3
    np.testing.assert_array_equal(more.features.take(rows[:4]), first.features.take(rows[5:]))


@pytest.mark.parametrize("memory", [0, 1024])
def test_stored_features_are_those_in_memory_and_streamed(tmp_path, memory):
    found, rows = clips.made(9, damaged=(4,)), np.asarray([7, 0, 0, 3])
    taken = {}
    for mode in keeping.MODES:
        how = keeping.Keeping(mode, memory_megabytes=memory)
        one = how.encode(found, clips.Counting(tower(), AUGMENTED), tmp_path)
        assert one.missing == {"clips 4": "clip 4 is cut off"}
        assert [item.key for item in one.found.items] == [f"clips {n}" for n in range(9) if n != 4]
        assert len(one.features) == 8
        assert len(one.augmented) == 2
        taken[mode] = [each.take(rows) for each in (one.features, *one.augmented)]
    for mode in keeping.MODES[1:]:
        np.testing.assert_allclose(taken[mode], taken["stored"], atol=1e-6)
    plain, second, third = taken["stored"]
    assert np.abs(plain - second).max() > 1e-4
    assert np.abs(second - third).max() > 1e-4


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_all_modes_select_the_same_head_with_the_same_scores(tmp_path, dtype):
    grid = head_grid.Grid((1e-3, 3e-2), seeds=2, steps=12, batch_size=8)
    head, top_1 = probe.Probe(probe.Attention(heads=2), grid), accuracy.TopK(1)
    predicted = {}
    for mode in keeping.MODES:
        how = keeping.Keeping(mode, dtype, memory_megabytes=0)
        train = how.encode(clips.made(48), clips.Counting(tower(), AUGMENTED), tmp_path)
        test = how.encode(clips.made(12, "test", first=60), clips.Counting(tower()), tmp_path)
        measure = lambda scores, found: top_1(scores, found).value
        predicted[mode] = head.predict(train, test, measure, seed=0)
    for mode in keeping.MODES[1:]:
        assert predicted[mode].facts["learning rate"] == predicted["stored"].facts["learning rate"]
        np.testing.assert_allclose(predicted[mode].scores, predicted["stored"].scores, atol=1e-5)


def test_a_kill_costs_one_shard(tmp_path, monkeypatch):
    small_shards(monkeypatch, 4)
    found = clips.made(14, damaged=(5,))
    with pytest.raises(KeyboardInterrupt):
        STORED.encode(found, clips.Counting(tower(), calls=2), tmp_path)
    encoder = clips.Counting(tower())
    resumed = STORED.encode(found, encoder, tmp_path)
    assert encoder.seen == 13 - 7
    whole = keeping.Keeping("memory").encode(found, clips.Counting(tower()), tmp_path)
    np.testing.assert_allclose(resumed.features.take(np.arange(13)), whole.features.array, atol=1e-6)


def test_a_shard_without_its_list_is_written_again(tmp_path, monkeypatch):
    small_shards(monkeypatch, 4)
    found, rows = clips.made(8), np.arange(8)
    before = STORED.encode(found, clips.Counting(tower()), tmp_path).features.take(rows)
    (folder,) = (tmp_path / keeping.FOLDER).iterdir()
    (folder / "shards" / "000001.json").unlink()
    encoder = clips.Counting(tower())
    np.testing.assert_array_equal(STORED.encode(found, encoder, tmp_path).features.take(rows), before)
    assert encoder.seen == 4


def test_clips_that_failed_are_kept_with_their_reason_until_a_retry(tmp_path):
    STORED.encode(clips.made(4, damaged=(1,)), clips.Counting(tower()), tmp_path)
    found = clips.made(4, damaged=(1,))
    encoder = clips.Counting(tower())
    again = STORED.encode(found, encoder, tmp_path)
    assert (again.missing, encoder.seen) == ({"clips 1": "clip 1 is cut off"}, 0)
    with pytest.raises(errors.UserError, match="none of 1 clips could be read"):
        STORED.encode(clips.made(1, first=1, damaged=(1,)), encoder, tmp_path)


def test_features_of_another_encoder_or_protocol_are_not_read(tmp_path):
    found, rows = clips.made(3), np.arange(3)
    STORED.encode(found, clips.Counting(tower()), tmp_path)
    others = [
        clips.Counting(tiny.QUICK["video"](key=jax.random.key(1))),
        clips.Counting(tower(), dataclasses.replace(clips.SMALL, pooling="mean")),
    ]
    for encoder in others:
        one = STORED.encode(found, encoder, tmp_path)
        assert encoder.seen == 3
        whole = keeping.Keeping("memory").encode(found, encoder, tmp_path)
        np.testing.assert_allclose(one.features.take(rows), whole.features.array, atol=1e-6)
    assert len(list((tmp_path / keeping.FOLDER).iterdir())) == 3


@pytest.mark.long
def test_size_and_cheaper_ways_are_told_before_the_pass(tmp_path):
    told = []
    with progress.heard(told.append):
        STORED.encode(clips.made(600), clips.Counting(tower(), batch_size=64), tmp_path)
        STORED.encode(clips.made(600), clips.Counting(tower(), batch_size=64), tmp_path)
    assert "600 of 600 clips to encode, 1.02 kB each, 614 kB in " in told[0]
    assert "about" in told[0]
    assert "features of 600 clips reused" in told[-1]


def test_cheaper_ways_are_named_with_their_size(tmp_path):
    encoder = clips.Counting(tower(), AUGMENTED)
    store = feature_store.FeatureStore(tmp_path, feature_key.of(encoder, "float32"), encoder.shape)
    assert filling.reductions(store, encoder, 1000) == [
        "1.54 MB with keeping.Keeping.dtype='bfloat16'",
        "1.02 MB with protocols.Protocol.passes=1 without augment",
        "192 kB with protocols.Protocol.pooling='frames'",
        "96 kB with protocols.Protocol.pooling='mean'",
    ]


def test_features_that_do_not_fit_are_refused_before_the_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(filling.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    encoder = clips.Counting(tower())
    with pytest.raises(errors.UserError, match=r"too little space.*mode='streamed'"):
        STORED.encode(clips.made(3), encoder, tmp_path)
    assert encoder.seen == 0


def test_verify_finds_features_that_are_no_longer_those_of_the_encoder(tmp_path):
    found = clips.made(6)
    STORED.encode(found, clips.Counting(tower()), tmp_path)
    checking = dataclasses.replace(STORED, verify_rows=2)
    encoder = clips.Counting(tower())
    checking.encode(found, encoder, tmp_path)
    assert encoder.seen == 2
    key = feature_key.of(encoder, "float32")
    store = feature_store.FeatureStore(tmp_path / keeping.FOLDER, key, encoder.shape)
    wrong = clips.made(6, "wrong", first=20)
    places = np.asarray([store.place(each) for each in row_identity.of(found)])
    with pytest.raises(errors.UserError, match="stored features of 'wrong 20' differ"):
        keeping.verify(store, wrong, places, encoder, 2)


@pytest.mark.parametrize(
    ("given", "match"),
    [({"mode": "disk"}, "mode must be one of"), ({"dtype": "int8"}, "float32, bfloat16 or float16"),
     ({"shard_megabytes": 0}, "shard_megabytes of 1 or more")],
)  # fmt: skip
def test_wrong_settings_are_refused(given, match):
    with pytest.raises(errors.UserError, match=match):
        keeping.Keeping(**given)
