"""batch(step) is a pure function: of no order, no start, no thread, no worker and no memory."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train.loops import loop
from prismlab.data.loader import clip_cache, loader, source, tokenizer
from prismlab.data.video import decode, sampling
from prismlab.data.world import world

quick = settings(max_examples=10, deadline=None)
STEPS, BATCH = 9, 4

ONE = source.Rendered(world.World(clips=16, resolution=16, frames=4), workers=0)
TWO = source.Rendered(world.World(clips=12, seed=1, resolution=16, frames=4, caption_noise=1.0), workers=0)
OTHER = source.Rendered(world.World(clips=16, seed=2, resolution=16, frames=4), workers=0)
TOKENIZER = tokenizer.Tokenizer((ONE,), vocabulary=64, length=8)
LINE = loader.Line({"one": ONE, "two": TWO}, TOKENIZER, frames=2, resolution=16, threads=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def opened(cache, line=LINE, *, steps=STEPS, seed=0, position=0):
    return line.open(BATCH, steps, seed, position, cache)


@pytest.fixture(scope="module")
def stream(cache):
    return opened(cache)


@pytest.fixture(scope="module")
def sums(stream):
    return [loader.checksum(stream.batch(step)) for step in range(STEPS)]


def read(stream, start=0):
    return [loader.checksum(batch) for batch in stream.read(start)]


def test_a_batch_has_the_documented_shapes(stream):
    batch = stream.batch(0)
    shapes = {name: (value.shape, value.dtype.name) for name, value in batch.items()}
    assert shapes == {
        "video": ((4, 2, 16, 16, 3), "uint8"),
        "text_ids": ((4, 8), "int32"),
        "text_paddings": ((4, 8), "float32"),
        "weight": ((4,), "float32"),
    }
    assert np.all(batch["weight"] == 1)
    assert stream.clips == {"one": 16, "two": 12}


@quick
@given(st.lists(st.integers(0, STEPS - 1), max_size=6))
def test_batches_may_be_asked_for_in_any_order(stream, sums, order):
    assert [loader.checksum(stream.batch(step)) for step in order] == [sums[step] for step in order]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, STEPS + 1))
def test_reading_from_any_step_gives_the_rest(stream, sums, start):
    assert read(stream, start) == sums[start:]


def test_a_fresh_stream_and_a_longer_one_begin_alike(cache, sums):
    assert read(opened(cache)) == sums
    assert read(opened(cache, steps=STEPS + 7))[:STEPS] == sums
    assert read(opened(cache, steps=4)) == sums[:4]


def test_all_batches_differ(sums):
    assert len(set(sums)) == STEPS


@pytest.mark.parametrize("change", [{"seed": 1}, {"position": 1}])
def test_another_seed_or_position_has_another_order(cache, sums, change):
    assert not set(read(opened(cache, **change))) & set(sums)


@pytest.mark.parametrize("change", [{"threads": 4, "prefetch": 9}, {"cache_megabytes": 5}, {"prefetch": 1}])
def test_how_it_is_read_changes_nothing(cache, sums, change):
    line = dataclasses.replace(LINE, **change)
    assert read(opened(cache, line)) == sums
    assert read(opened(cache, line)) == sums  # once more, from memory where clips are kept


@pytest.mark.long
def test_worker_processes_change_nothing(cache, sums):
    assert read(opened(cache, dataclasses.replace(LINE, workers=2)), 2) == sums[2:]


def test_clips_kept_in_memory_belong_to_their_source(cache):
    """Two stages may call different sources by one name; the second must not see the first one's clips."""
    for home in (ONE, OTHER):
        decoding = dataclasses.replace(home, frames_megabytes=0)
        plain = loader.Line({"same": decoding}, TOKENIZER, frames=2, resolution=16)
        kept = dataclasses.replace(plain, cache_megabytes=5)
        assert read(opened(cache, kept)) == read(opened(cache, plain))


def test_memory_has_an_end(cache, sums, monkeypatch):
    decoded = []
    whole = decode.each_frame
    monkeypatch.setattr(clip_cache, "_decoded", {})
    monkeypatch.setattr(clip_cache, "_decoded_bytes", (1 << 20) - 2 * 4 * 16 * 16 * 3)  # room for two clips
    monkeypatch.setattr(decode, "each_frame", lambda *a, **k: decoded.append(1) or whole(*a, **k))
    decoding = {name: dataclasses.replace(each, frames_megabytes=0) for name, each in LINE.sources.items()}
    assert read(opened(cache, dataclasses.replace(LINE, sources=decoding, cache_megabytes=1))) == sums
    assert len(clip_cache._decoded) == 2
    assert len(decoded) >= STEPS * BATCH - 2 * 3


def key_of(video: np.ndarray) -> bytes:
    return video.tobytes()


def test_no_clip_comes_twice_within_an_epoch(cache):
    # All frames are asked for and nothing is cropped, so that equal pixels mean the same clip.
    line = loader.Line({"one": ONE}, TOKENIZER, frames=4, resolution=16)
    stream = opened(cache, line, steps=12)
    epochs = [
        [key_of(v) for step in range(e * 4, e * 4 + 4) for v in stream.batch(step)["video"]] for e in range(3)
    ]
    assert all(len(set(epoch)) == 16 for epoch in epochs)
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1] != epochs[2]  # each epoch has an order of its own


def test_every_batch_comes_from_one_source_in_the_shares_asked_for(cache):
    line = loader.Line(
        {"one": ONE, "two": TWO}, TOKENIZER, weights={"one": 2.0, "two": 1.0}, frames=4, resolution=16
    )
    clips = {}
    for name, home in (("one", ONE), ("two", TWO)):
        alone = loader.Line({name: home}, TOKENIZER, frames=4, resolution=16)
        clips[name] = {key_of(v) for b in opened(cache, alone, steps=4).read(0) for v in b["video"]}
    stream = opened(cache, line)
    assert [stream.source_of_step.count(name) for name in ("one", "two")] == [6, 3]
    for name, batch in zip(stream.source_of_step, stream.read(0)):
        assert {key_of(video) for video in batch["video"]} <= clips[name]


def test_one_source_more_leaves_the_others_order(cache):
    """A source is shuffled by its own name, so what it gives does not depend on its neighbours."""
    alone = loader.Line({"one": ONE}, TOKENIZER, frames=4, resolution=16)
    both = dataclasses.replace(alone, sources={"one": ONE, "two": TWO})
    stream = opened(cache, both)
    shared = [b["video"] for n, b in zip(stream.source_of_step, stream.read(0)) if n == "one"]
    single = [batch["video"] for batch in opened(cache, alone).read(0)]
    assert all(np.array_equal(a, b) for a, b in zip(shared, single))


def test_random_crops_repeat_with_the_step_and_differ_between_epochs(cache):
    line = loader.Line({"one": ONE}, TOKENIZER, frames=1, resolution=16, crop=sampling.Crop(0.3, flip=True))
    stream = opened(cache, line, steps=8)
    first = {key_of(v) for step in range(4) for v in stream.batch(step)["video"]}
    second = {key_of(v) for step in range(4, 8) for v in stream.batch(step)["video"]}
    assert len(first & second) < 4
    assert read(stream) == read(opened(cache, line, steps=8))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_clip_shorter_than_asked_is_named_with_its_source(cache, workers):
    line = dataclasses.replace(LINE, frames=5, workers=workers)
    with pytest.raises(
        errors.UserError, match=r"clip 'videos/\d+\.mp4' of source '(one|two)' has 4 frames.* asks for 5"
    ):
        next(loop.batches_of(opened(cache, line).read(0)))


@dataclasses.dataclass(frozen=True)
class Empty:
    def open(self, cache):
        return []


def test_an_empty_source_is_refused(cache):
    with pytest.raises(errors.UserError, match="source 'two' is empty"):
        opened(cache, dataclasses.replace(LINE, sources={"one": ONE, "two": Empty()}))


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": {}},
        {"frames": 0},
        {"threads": 0},
        {"prefetch": 0},
        {"workers": -1},
        {"cache_megabytes": -1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields):
    with pytest.raises(ValueError, match="|".join(fields)):
        dataclasses.replace(LINE, **fields)


def test_a_line_travels():
    assert pickle.loads(pickle.dumps(LINE)) == LINE


def test_an_evaluation_reads_clips_in_order(cache):
    videos, records = loader.read_all(ONE, cache, frames=4, resolution=16, limit=3)
    assert videos.shape == (3, 4, 16, 16, 3)
    whole = ONE.open(cache)
    for index in range(3):
        assert np.array_equal(videos[index], decode.decode(whole[index].video))
        assert records[index].caption == whole[index].caption
        assert records[index].video == b""
    with pytest.raises(errors.UserError, match="asks for 17 clips, its source has 16"):
        loader.read_all(ONE, cache, frames=4, resolution=16, limit=17)


def test_checksums_see_every_array_and_its_name(stream):
    batch = stream.batch(0)
    base = loader.checksum(batch)
    for name in batch:
        changed = {**batch, name: batch[name].copy()}
        changed[name].flat[0] += 1
        assert loader.checksum(changed) != base
    assert loader.checksum({**batch, "a": batch["weight"]}) != base


def test_clips_without_captions_have_no_words_and_repeat_none(cache):
    silent = dataclasses.replace(LINE, sources={"one": source.WithoutCaptions(ONE), "two": TWO})
    plain = opened(cache, silent)
    unique = opened(cache, dataclasses.replace(silent, unique=("captions",)))
    for step, home in enumerate(plain.source_of_step):
        batch, spoken = plain.batch(step), opened(cache).batch(step)
        np.testing.assert_array_equal(batch["video"], spoken["video"])
        if home == "one":
            assert not batch["text_ids"].any()
            assert batch["text_paddings"].all()
            np.testing.assert_array_equal(unique.batch(step)["weight"], np.ones(BATCH))
        else:
            np.testing.assert_array_equal(batch["text_ids"], spoken["text_ids"])


def test_a_tokenizer_needs_captions(cache):
    words = tokenizer.Tokenizer((source.WithoutCaptions(ONE),), vocabulary=64, length=8)
    with pytest.raises(errors.UserError, match="expected captions to train on, but no clip has one; add a"):
        words.prepare(cache)
