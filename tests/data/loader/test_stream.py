"""The stream shared out over hosts, resumed anywhere, with phases, views, other lengths and bad clips."""

import collections
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train.loops import loop
from prismlab.data.loader import bad_clips, example, loader, mixture, source, tokenizer
from prismlab.data.records import record
from prismlab.data.video import sampling
from prismlab.data.world import world

few = settings(max_examples=12, deadline=None)
STEPS, BATCH = 6, 8
ONE = source.Rendered(world.World(clips=16, resolution=16, frames=4), workers=0)
TWO = source.Rendered(world.World(clips=12, seed=1, resolution=16, frames=4, caption_noise=1.0), workers=0)
TOKENIZER = tokenizer.Tokenizer((ONE,), vocabulary=64, length=8)
CROP = sampling.Crop(0.5, flip=True)
LINE = loader.Line({"one": ONE, "two": TWO}, TOKENIZER, frames=2, resolution=16, threads=1, crop=CROP)


@dataclasses.dataclass(frozen=True)
class Damaged:
    """A source whose chosen clips do not decode, or cannot be read at all; it counts what is read.

    With `captions` it has only five different ones: clip i says the word of i % 5.
    """

    whole: source.Rendered
    garbled: tuple[int, ...] = ()
    unreadable: tuple[int, ...] = ()
    captions: bool = False

    def open(self, cache):
        return _Records(self.whole.open(cache), self)


READ: collections.Counter = collections.Counter()


class _Records:
    def __init__(self, whole, how):
        self.whole, self.how = whole, how

    def __len__(self):
        return len(self.whole)

    def __getitem__(self, index) -> record.Record:
        READ[int(index)] += 1
        if index in self.how.unreadable:
            raise errors.UserError(f"shard-00000, record {index}: wanted a sound record")
        found = self.whole[index]
        if self.how.captions:
            found = dataclasses.replace(found, caption=["red", "star", "disc", "ring", "cross"][index % 5])
        return dataclasses.replace(found, video=b"garbled") if index in self.how.garbled else found


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def opened(cache, line=LINE, *, batch=BATCH, steps=STEPS, seed=0, host=0, hosts=1):
    return line.open(batch, steps, seed, 0, cache, host=host, hosts=hosts)


def union(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


VARIANTS = {
    "plain": LINE,
    "phases": dataclasses.replace(LINE, phases=(mixture.Phase(3, {"two": 1.0}),)),
    "lengths": dataclasses.replace(LINE, frames_of={"two": 1}),
    "captions": dataclasses.replace(LINE, sources={"one": Damaged(ONE, captions=True)}, unique=("captions",)),
    "clips": dataclasses.replace(LINE, unique=("clips",)),
    "bad": dataclasses.replace(
        LINE,
        sources={"one": Damaged(ONE, (3, 5), (7,), captions=True), "two": TWO},
        max_bad_share=0.5,
        unique=("captions",),
    ),
}


ON_HOSTS = [
    pytest.param(each, marks=[pytest.mark.slow] * (each in ("lengths", "captions"))) for each in VARIANTS
]


@pytest.mark.parametrize("variant", ON_HOSTS)
def test_any_number_of_hosts_sees_the_same_batches(cache, variant):
    line = dataclasses.replace(VARIANTS[variant], cache_megabytes=5)  # each clip is decoded once
    alone = opened(cache, line)
    whole = [alone.seen(step) for step in range(STEPS)]
    for hosts in (2, 8) if variant in ("plain", "bad") else (2,):
        streams = [opened(cache, line, host=host, hosts=hosts) for host in range(hosts)]
        for step, (batch, origin) in enumerate(whole):
            parts = [each.seen(step) for each in streams]
            assert loader.checksum(union([part for part, _ in parts])) == loader.checksum(batch)
            assert np.concatenate([each.clips for _, each in parts]).tolist() == origin.clips.tolist()
            assert np.array_equal(np.concatenate([each.boxes for _, each in parts]), origin.boxes)
            assert {each.source for _, each in parts} == {origin.source}


def test_views_of_a_clip_come_from_one_decode_and_stay_together_on_any_host(cache, monkeypatch):
    line = dataclasses.replace(LINE, num_views=4)
    decoded = []
    decode = example.clip_cache.frames.each
    monkeypatch.setattr(
        example.clip_cache.frames, "each", lambda *a, **k: decoded.append(1) or decode(*a, **k)
    )
    batch, origin = opened(cache, line).seen(1)
    assert len(decoded) == BATCH // 4
    assert origin.clips.tolist() == np.repeat(origin.clips[::4], 4).tolist()
    views = {batch["video"][view].tobytes() for view in range(4)}
    assert len(views) == 4
    parts = [opened(cache, line, host=host, hosts=2).batch(1) for host in range(2)]
    assert loader.checksum(union(parts)) == loader.checksum(batch)
    assert loader.checksum(opened(cache, line).batch(1)) == loader.checksum(batch)


@pytest.mark.parametrize(("batch", "hosts", "views"), [(6, 4, 1), (8, 2, 3), (2, 4, 1)])
def test_a_batch_that_hosts_and_views_do_not_divide_is_refused(cache, batch, hosts, views):
    with pytest.raises(errors.UserError, match=rf"batch_size={batch} cannot be split over {hosts} hosts"):
        opened(cache, dataclasses.replace(LINE, num_views=views), batch=batch, hosts=hosts)


@pytest.mark.parametrize("start", [0, 1, STEPS - 1])
def test_going_on_reads_no_record_of_an_earlier_step(cache, start):
    line = dataclasses.replace(LINE, sources={"one": Damaged(ONE)}, prefetch=1)
    stream = opened(cache, line)
    wanted = collections.Counter(
        clip for step in range(start, STEPS) for clip in stream.seen(step)[1].clips.tolist()
    )
    READ.clear()
    assert len(list(opened(cache, line).read(start))) == STEPS - start
    assert wanted == READ


@pytest.mark.slow  # test_loader.py has worker processes without the rest
@pytest.mark.parametrize("start", [0, 3, 5])
def test_workers_go_on_exactly_with_everything_at_once(cache, tmp_path, start):
    line = dataclasses.replace(VARIANTS["bad"], frames_of={"two": 1})
    stream = opened(cache, line)
    sums = [loader.checksum(stream.batch(step)) for step in range(STEPS)]
    spawned = opened(cache, dataclasses.replace(line, workers=2))
    noted = bad_clips.Ledger(tmp_path / "bad.jsonl", spawned.clips, 0.5)
    assert [loader.checksum(batch) for batch in spawned.read(start, noted)] == sums[start:]
    wanted = {
        (origin.source, clip)
        for step in range(start, STEPS)
        for origin in [stream.seen(step)[1]]
        for clip, reason in zip(origin.clips.tolist(), origin.reasons)
        if reason
    }
    assert entries(tmp_path / "bad.jsonl") == sorted(wanted)


def entries(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return sorted((row["source"], row["clip"]) for row in rows)


def test_a_bad_clip_is_a_fixed_placeholder_and_moves_nothing_else(cache):
    sound = opened(cache, dataclasses.replace(LINE, sources={"one": ONE}))
    line = dataclasses.replace(LINE, sources={"one": Damaged(ONE, (3,), (7,))}, max_bad_share=0.2)
    damaged = opened(cache, line)
    bad = 0
    for step in range(STEPS):
        (expected, origin), (batch, got) = sound.seen(step), damaged.seen(step)
        assert got.clips.tolist() == origin.clips.tolist()
        good = ~np.isin(origin.clips, (3, 7))
        bad += int((~good).sum())
        for name in batch:
            assert np.array_equal(batch[name][good], expected[name][good])
        assert not batch["weight"][~good].any()
        assert not batch["video"][~good].any()
        assert [bool(reason) for reason in got.reasons] == (~good).tolist()
    assert bad == 2 * STEPS * BATCH // 16
    (told,) = {r for s in range(STEPS) for r in damaged.seen(s)[1].reasons if "videos" in r}
    assert "clip 'videos/000003.mp4' of source 'one'" in told


def test_the_ledger_is_complete_and_tells_once_whatever_stops_it(cache, tmp_path):
    line = dataclasses.replace(LINE, sources={"one": Damaged(ONE, (3, 4), (7,))}, max_bad_share=0.2)
    path = tmp_path / "bad.jsonl"
    for start, steps in ((0, 1), (0, 3), (2, STEPS), (0, STEPS)):
        stream = opened(cache, line, steps=steps)
        list(stream.read(start, bad_clips.Ledger(path, stream.clips, 0.2)))
        with path.open("ab") as file:
            file.write(b'{"source": "one", "cl')  # the machine stopped here
    assert bad_clips.Ledger(path, {"one": 16}, 0.2).counts() == {"one": 3}
    assert entries(path) == [("one", 3), ("one", 4), ("one", 7)]


def test_too_many_bad_clips_stop_the_run_with_one_line(cache, tmp_path):
    line = dataclasses.replace(LINE, sources={"one": Damaged(ONE, (3, 5, 8))}, max_bad_share=0.13)
    stream = opened(cache, line)
    with pytest.raises(errors.UserError, match=r"3 of 16 clips are bad.*0.13 allows 2.*bad.jsonl") as told:
        list(loop.batches_of(stream.read(0, bad_clips.Ledger(tmp_path / "bad.jsonl", stream.clips, 0.13))))
    assert "\n" not in str(told.value)
    assert len(entries(tmp_path / "bad.jsonl")) == 3
    strict = dataclasses.replace(line, max_bad_share=0.0)
    with pytest.raises(errors.UserError, match="clip 'videos/"):
        list(loop.batches_of(opened(cache, strict).read(0)))


def test_no_clip_twice_in_a_batch_or_an_epoch_on_request(cache):
    # 12 clips in batches of 8: an epoch would end inside the second batch.
    line = dataclasses.replace(LINE, sources={"two": TWO}, unique=("clips",))
    stream = opened(cache, line)
    for step in range(STEPS):
        assert len(set(stream.seen(step)[1].clips.tolist())) == BATCH
    free = opened(cache, dataclasses.replace(line, unique=()))
    assert any(len(set(free.seen(step)[1].clips.tolist())) < BATCH for step in range(STEPS))
    with pytest.raises(errors.UserError, match="source 'two' has 12 clips"):
        opened(cache, line, batch=16)


def test_a_caption_counts_once_in_a_batch_on_request(cache):
    stream, plain = (
        opened(cache, VARIANTS["captions"]),
        opened(cache, dataclasses.replace(LINE, sources={"one": ONE})),
    )
    for step in range(STEPS):
        batch, origin = stream.seen(step)
        words = (origin.clips % 5).tolist()
        assert batch["weight"].tolist() == [words.index(word) == place for place, word in enumerate(words)]
        assert 0 < batch["weight"].sum() <= 5
        assert np.array_equal(batch["video"], plain.batch(step)["video"])


def test_sources_of_other_lengths_and_the_realised_mixture(cache):
    stream = opened(cache, dataclasses.replace(LINE, frames_of={"two": 1}, weights={"one": 2.0, "two": 1.0}))
    for step, home in enumerate(stream.source_of_step):
        assert stream.batch(step)["video"].shape[1] == {"one": 2, "two": 1}[home]
    assert stream.mixture(STEPS) == {
        "declared/one": 4.0, "batches/one": 4.0, "repeats/one": 2.0,
        "declared/two": 2.0, "batches/two": 2.0, "repeats/two": 2 * 8 / 12,
    }  # fmt: skip


def test_memory_is_counted_before_the_start(cache):
    line = dataclasses.replace(LINE, cache_megabytes=3, prefetch=4, budget_megabytes=4)
    clip = 2 * 16 * 16 * 3 + 8 * 8 + 4
    assert opened(cache, line).bytes_in_flight == 5 * BATCH * clip + (3 << 20)
    more = dataclasses.replace(line, workers=2)
    with pytest.raises(
        errors.UserError, match=r"would hold 6 MiB: \(2 workers x 2 x 4 \+ 1\).*=4 allows less"
    ):
        opened(cache, more)
    assert opened(cache, dataclasses.replace(more, budget_megabytes=7)).bytes_in_flight > 6 << 20


@pytest.mark.parametrize(
    "fields",
    [
        {"max_bad_share": 1.0},
        {"unique": ("words",)},
        {"num_views": 2, "unique": ("clips",)},
        {"frames_of": {"three": 1}},
        {"frames_of": {"one": 0}},
        {"num_views": 0},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields):
    with pytest.raises(ValueError, match="|".join(fields)):
        dataclasses.replace(LINE, **fields)


@few
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_an_example_draws_what_philox_gives_for_its_key(seed, index):
    plain = np.random.Generator(np.random.Philox(key=[seed, index]))
    assert np.array_equal(example.generator(seed, index).integers(0, 2**62, 9), plain.integers(0, 2**62, 9))
