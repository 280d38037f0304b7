"""The contract of every source: it opens, counts, indexes, pickles, and always gives the same records."""

import concurrent.futures
import dataclasses
import inspect
import multiprocessing
import pathlib
import shutil

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.records import shards
from prismlab.data.video import folder, frames
from prismlab.data.world import world
from prismlab.experiments.kit import source_contract

WORLD = world.World(clips=5, resolution=16, frames=3, fps=4)
RENDERED = source.Rendered(WORLD, records_per_shard=2, workers=0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    found = tmp_path_factory.mktemp("cache")
    RENDERED.open(found)
    return found


def videos_of(cache: pathlib.Path) -> pathlib.Path:
    (found,) = cache.glob("world-*")
    return found


def shards_of(cache: pathlib.Path) -> pathlib.Path:
    (found,) = cache.glob(f"shards-{source.fingerprint((WORLD, 2))}")
    return found


# One example of each class; a new source adds one line here.
EXAMPLES = {
    source.Rendered: lambda cache: RENDERED,
    source.Folder: lambda cache: source.Folder(str(videos_of(cache)), min_frames=3, records_per_shard=2),
    source.Shards: lambda cache: source.Shards(str(shards_of(cache))),
    source.WithoutCaptions: lambda cache: source.WithoutCaptions(RENDERED),
}
CLASSES = [
    each
    for _, each in inspect.getmembers(source, inspect.isclass)
    if each.__module__ == source.__name__ and hasattr(each, "open") and each is not source.Source
]


class TestSources(source_contract.SourceContract):
    """The contract that the kit gives to users' packages too."""

    kinds = CLASSES
    examples = tuple(EXAMPLES.values())

    @pytest.fixture
    def cache(self, cache):
        """Return the cache of this file."""
        return cache


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: each.__name__)
def test_every_source_gives_the_clips_of_the_world(kind, cache):
    records = EXAMPLES[kind](cache).open(cache)
    captions = [None if kind is source.WithoutCaptions else WORLD.caption(index) for index in range(5)]
    assert [records[index].caption for index in range(5)] == captions
    videos = [RENDERED.open(cache)[index].video for index in range(5)]
    assert [records[index].video for index in range(5)] == videos


def test_different_settings_have_different_fingerprints():
    assert source.fingerprint(RENDERED) == source.fingerprint(dataclasses.replace(RENDERED))
    others = [dataclasses.replace(RENDERED, world=dataclasses.replace(WORLD, seed=1)),
              dataclasses.replace(RENDERED, records_per_shard=3)]  # fmt: skip
    assert len({source.fingerprint(each) for each in [RENDERED, *others]}) == 3


def test_a_changed_folder_is_read_again(cache, tmp_path):
    own = shutil.copytree(videos_of(cache), tmp_path / "own")
    home = source.Folder(str(own))
    assert len(home.open(tmp_path / "cache")) == 5
    captions = own / folder.CAPTIONS
    captions.write_text("".join(captions.read_text().splitlines(keepends=True)[:3]))
    assert len(home.open(tmp_path / "cache")) == 3


def test_a_folder_of_short_clips_is_refused(cache, tmp_path):
    with pytest.raises(errors.UserError, match="expected 4 frames or more, got 3"):
        source.Folder(str(videos_of(cache)), min_frames=4).open(tmp_path)


@pytest.mark.parametrize("home", [source.Folder("/nowhere/at/all"), source.Shards("/nowhere/at/all")])
def test_a_place_that_is_not_there_is_refused(home, tmp_path):
    with pytest.raises(errors.UserError, match="/nowhere/at/all"):
        home.open(tmp_path)


def test_packing_that_was_cut_short_is_done_again(cache, tmp_path):
    half = tmp_path / shards_of(cache).name
    shutil.copytree(shards_of(cache), half)
    (half / shards.MANIFEST).unlink()
    (half / "shard-00000.array_record").write_bytes(b"half")
    records, whole = RENDERED.open(tmp_path), RENDERED.open(cache)
    assert [records[i] for i in range(5)] == [whole[i] for i in range(5)]


def _count(home: source.Rendered, cache: pathlib.Path) -> int:
    records = home.open(cache)
    return sum(len(records[index].video) > 0 for index in range(len(records)))


@pytest.mark.long
def test_two_processes_may_open_one_cache_at_once(tmp_path):
    home = source.Rendered(world.World(clips=60, resolution=16, frames=2), records_per_shard=10, workers=0)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(_count, home, tmp_path) for _ in range(2)]
        assert [each.result() for each in started] == [60, 60]


@dataclasses.dataclass(frozen=True)
class Unstated:
    def open(self, cache):
        return []


def test_captions_are_taken_from_a_source_only(cache):
    assert source.WithoutCaptions(RENDERED).content_digest(cache) == RENDERED.content_digest(cache)
    with pytest.raises(errors.UserError, match=r"WithoutCaptions\.source: expected a source with content"):
        source.WithoutCaptions(Unstated())


def test_kept_frames_are_those_that_decoding_gives(cache):
    decoding = dataclasses.replace(RENDERED, frames_megabytes=0).open(cache)
    keeping = RENDERED.open(cache)
    for index in range(len(WORLD)):
        assert decoding[index].decoded is None
        assert keeping[index].decoded is not None
        for wanted in (None, [2, 0, 2]):
            expected = frames.decode(decoding[index], wanted)
            np.testing.assert_array_equal(frames.decode(keeping[index], wanted), expected)
        assert frames.count(keeping[index]) == 3
    with pytest.raises(errors.UserError, match=r"expected frame 3 \(from 0\), got 3 frames"):
        frames.decode(keeping[0], [3])


def test_scaled_frames_are_decoded_at_their_scale(cache):
    decoding, keeping = (
        dataclasses.replace(RENDERED, frames_megabytes=0).open(cache)[0],
        RENDERED.open(cache)[0],
    )
    small = frames.decode(keeping, short_side=8)
    assert small.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(small, frames.decode(decoding, short_side=8))
