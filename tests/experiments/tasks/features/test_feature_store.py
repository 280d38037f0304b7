"""A store holds one key, refuses any other by name, and notices damaged files."""

import dataclasses
import functools
import gc

import clips
import jax
import numpy as np
import pytest
import tiny

from prismlab.core import errors, trees
from prismlab.core.io import checked_json
from prismlab.experiments.store import work_directory
from prismlab.experiments.tasks.features import feature_key, feature_store


@functools.cache
def tower():
    return tiny.video_tower(key=jax.random.key(0))


def filled(folder, dtype="float32", rows=3):
    """Return a store with some rows of random features, and the features."""
    encoder = clips.Counting(tower())
    key = feature_key.of(encoder, dtype)
    store = feature_store.FeatureStore(folder, key, encoder.shape)
    features = np.random.default_rng(0).standard_normal((rows, *store.row_shape)).astype(np.float32)
    with store.writing():
        store.append([f"id {row}" for row in range(rows)], features, {"bad": "cut off"})
    return store, features


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 1e-3), ("bfloat16", 1e-2)])
def test_what_is_written_is_read_by_the_next_process(tmp_path, dtype, error):
    store, features = filled(tmp_path, dtype)
    again = feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])
    assert [again.place(f"id {row}") for row in range(4)] == [0, 1, 2, None]
    assert again.reason("bad") == "cut off"
    np.testing.assert_allclose(again.take(np.asarray([2, 0, 0])), features[[2, 0, 0], 0], rtol=error)
    assert again.take(np.asarray([1])).dtype == np.float32


def test_readers_see_what_another_process_appends(tmp_path):
    store, features = filled(tmp_path)
    reader = feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])
    with store.writing():
        store.append(["late"], features[:1], {})
    assert reader.place("late") is None
    reader.refresh()
    np.testing.assert_array_equal(reader.take(np.asarray([reader.place("late")])), features[:1, 0])


def test_a_folder_of_another_key_is_refused_by_name(tmp_path):
    store, _ = filled(tmp_path)
    other = {**store.key, "weights": "0", "protocol": {**store.key["protocol"], "stride": 4}}
    sealed = work_directory.json_bytes(checked_json.sealed({"key": other}))
    (store.folder / "key.json").write_bytes(sealed)
    with pytest.raises(
        errors.UserError, match=r"another key \(other encoder weights, protocol.stride: 4 -> null\)"
    ):
        feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])


def test_damaged_files_are_named(tmp_path):
    store, _ = filled(tmp_path)
    (shard,) = (path for path in (store.folder / "features" / "c").rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    again = feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])
    with pytest.raises(errors.UserError, match=r"could not be read .*delete this folder"):
        again.take(np.asarray([0, 1, 2]))
    (store.folder / "shards" / "000000.json").write_text("{}")
    with pytest.raises(errors.UserError, match=r"000000\.json"):
        feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])


def test_a_store_has_one_writer(tmp_path):
    store, _ = filled(tmp_path)
    other = feature_store.FeatureStore(tmp_path, store.key, store.row_shape[2:])
    with (
        store.writing(),
        pytest.raises(errors.UserError, match="another process is writing features"),
        other.writing(),
    ):
        pass


def test_the_key_names_what_decides_a_feature():
    key = feature_key.of(clips.Counting(tower()), "float32")
    assert set(key) == {"weights", "structure", "code", "protocol", "dtype", "decoder", "settings", "device"}
    for module in ("core.towers.video_encoder", "core.nn.layers", "data.video.sampling",
                   "experiments.tasks.features.views"):  # fmt: skip
        assert f"prismlab.{module}" in key["code"]
    assert "prismlab.experiments.tasks.features.feature_store" not in key["code"]
    changed = {**key, "code": {**key["code"], "prismlab.core.nn.layers": "0"}, "dtype": "bfloat16"}
    assert feature_key.difference(key, changed) == [
        "prismlab.core.nn.layers changed", "dtype: float32 -> bfloat16",
    ]  # fmt: skip
    assert key == feature_key.of(clips.Counting(tower()), "float32")


def test_the_weights_of_a_tower_are_hashed_once_for_all_splits_and_protocols(monkeypatch):
    hashed = []
    own = trees.digest
    monkeypatch.setattr(feature_key.trees, "digest", lambda arrays: (hashed.append(1), own(arrays))[1])
    tower, other = (tiny.video_tower(key=jax.random.key(seed)) for seed in (5, 6))
    first = feature_key.of(clips.Counting(tower), "float32")
    second = feature_key.of(clips.Counting(tower, dataclasses.replace(clips.SMALL, stride=1)), "bfloat16")
    assert first["weights"] == second["weights"] == own(trees.flatten(tower))
    assert len(hashed) == 1
    assert feature_key.of(clips.Counting(other), "float32")["weights"] != first["weights"]
    assert len(hashed) == 2
    place = id(other)
    del other
    gc.collect()
    assert place not in feature_key._digests
