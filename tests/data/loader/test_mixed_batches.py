"""Batches that mix sources: the same on any hosts, each clip with its own source, and what they refuse."""

import dataclasses

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.loader import bad_clips, loader, source, tokenizer
from prismlab.data.world import world

STEPS, BATCH = 6, 8
ONE = source.Rendered(world.World(clips=16, resolution=16, frames=4), workers=0)
TWO = source.Rendered(world.World(clips=12, seed=1, resolution=16, frames=4, caption_noise=1.0), workers=0)
TOKENIZER = tokenizer.Tokenizer((ONE,), vocabulary=64, length=8)
LINE = loader.Line({"one": ONE, "two": TWO}, TOKENIZER, frames=2, resolution=16, threads=1)


@dataclasses.dataclass(frozen=True)
class Garbled:
    """A source whose first four clips do not decode."""

    whole: source.Rendered

    def open(self, cache):
        whole = self.whole.open(cache)
        clips = [whole[index] for index in range(len(whole))]
        return [dataclasses.replace(each, video=b"x") if i < 4 else each for i, each in enumerate(clips)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def opened(cache, line, host=0, hosts=1):
    return line.open(BATCH, STEPS, 0, 0, cache, host, hosts)


def union(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_mixed_batches_are_the_same_on_any_hosts_and_name_the_source_of_each_clip(cache, tmp_path):
    line = dataclasses.replace(LINE, alternate=False, max_bad_share=0.5)
    line = dataclasses.replace(line, sources={"one": Garbled(ONE), "two": TWO})
    stream = opened(cache, line)
    both = [opened(cache, line, host=host, hosts=2) for host in range(2)]
    sources = set()
    for step in range(STEPS):
        batch, origin = stream.seen(step)
        sources.add(origin.source)
        parts = [each.seen(step) for each in both]
        assert loader.checksum(union([part for part, _ in parts])) == loader.checksum(batch)
        assert [home for _, each in parts for home in each.sources] == origin.sources
        for home, clip, reason in zip(origin.sources, origin.clips.tolist(), origin.reasons):
            assert bool(reason) == (home == "one" and clip < 4)
    assert "one + two" in sources
    noted = bad_clips.Ledger(tmp_path / "bad.jsonl", stream.clips, 0.5)
    list(stream.read(0, noted))
    assert noted.counts()["two"] == 0
    assert 0 < noted.counts()["one"] <= 4
    told = stream.mixture(STEPS)
    assert told["batches/one"] + told["batches/two"] == STEPS
    assert told["declared/one"] == STEPS / 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"frames_of": {"two": 1}},
            r"alternate=False needs clips of one length in a batch, got frames \{'one'",
        ),
        ({"unique": ("clips",)}, "'clips' needs batches of one source; drop it, or keep alternate=True"),
    ],
)
def test_what_mixed_batches_cannot_hold_is_refused(fields, told):
    with pytest.raises(errors.UserError, match=told):
        dataclasses.replace(LINE, alternate=False, **fields)
