"""The same input gives the same shards: whoever writes them, in however many parts, killed wherever."""

import csv
import dataclasses
import hashlib
import json
import pathlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.io import filesystem, temporary_files
from prismlab.data.corpus import clip_encoding, finish, prepare_corpus
from prismlab.data.corpus.inputs import media, table
from prismlab.data.loader import source
from prismlab.data.records import shard_file, shards
from prismlab.data.video import frames
from prismlab.data.world import render, world

WORLD = world.World(clips=14, resolution=16, frames=3, fps=4)
SHORT = clip_encoding.H264(short_side=16)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder of videos with a table; one video of it is cut short."""
    found = tmp_path_factory.mktemp("raw")
    render.render(WORLD, found, workers=0)
    with (found / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text", "who"])
        for index in range(14):
            writer.writerow([f"videos/{index:06d}.mp4", f'a "quoted"\ncaption, {index}', "me"])
    cut = found / "videos/000004.mp4"
    cut.write_bytes(cut.read_bytes()[:300])
    return found


@pytest.fixture(scope="module")
def corpus(raw: pathlib.Path) -> prepare_corpus.Corpus:
    return prepare_corpus.Corpus(
        table.Table(str(raw / "clips.csv"), rows_per_shard=4), SHORT, max_rejected=0.1
    )


def files_of(folder: pathlib.Path) -> dict[str, str]:
    """Return the sha256 of each file of a finished folder, hidden files left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def whole(corpus: prepare_corpus.Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole")
    assert prepare_corpus.prepare(corpus, str(out)) is not None
    return files_of(out)


def test_what_it_writes_is_read_by_the_source(corpus: prepare_corpus.Corpus, tmp_path: pathlib.Path) -> None:
    manifest = prepare_corpus.prepare(corpus, str(tmp_path / "out"), text="the spec", progress=None)
    assert manifest is not None
    records = source.Shards(str(tmp_path / "out")).open(tmp_path)
    assert len(records) == 13 == manifest.records
    first = records[0]
    assert first.caption == 'a "quoted"\ncaption, 0'
    assert (first.key, first.labels, first.frame_count) == ("videos/000000.mp4#1", {"who": "me"}, 3)
    assert frames.decode(first).shape == (3, 16, 16, 3)
    (rejected,) = (tmp_path / "out/rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["key"] == "videos/000004.mp4#5"
    assert "damaged or not a video" in rejected
    card = (tmp_path / "out/card.md").read_text()
    assert "13 clips" in card
    assert "1 clips were rejected" in card
    assert "the spec" in card
    records.verify()


@settings(max_examples=4)
@given(parts=st.integers(1, 5), data=st.data())
def test_any_parts_in_any_order_give_the_same_files(corpus, whole, tmp_path_factory, parts, data) -> None:
    out = tmp_path_factory.mktemp("parts")
    order = data.draw(st.permutations(range(1, parts + 1)))
    results = [prepare_corpus.prepare(corpus, str(out), part=(each, parts)) for each in order]
    assert results[-1] is not None
    # There are four units: of five parts one has nothing to write, and may be the last to come.
    assert parts == 5 or not any(results[:-1])
    assert files_of(out) == whole


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


@settings(max_examples=8)
@given(stop=st.integers(0, 45))
def test_killed_anywhere_and_resumed_gives_the_same_files(corpus, whole, tmp_path_factory, stop) -> None:
    out = tmp_path_factory.mktemp("killed")
    count = 0

    def counted(function):
        def call(*arguments, **more):
            nonlocal count
            count += 1
            if count > stop:
                raise Killed
            return function(*arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        # Before and after every write there is a moment to be killed in.
        for home, name in (
            (filesystem, "write_atomic"),
            (temporary_files, "_settle"),
            (shard_file.Writer, "write"),
            (shard_file, "measure"),
            (finish, "complete"),
        ):
            patch.setattr(home, name, counted(getattr(home, name)))
        try:
            prepare_corpus.prepare(corpus, str(out))
        except Killed:
            assert not shards.finished(out) or stop > 20
    prepare_corpus.prepare(corpus, str(out))
    assert files_of(out) == whole


def test_workers_write_the_same_files(corpus, whole, tmp_path) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path), processes=1)
    assert files_of(tmp_path) == whole


def test_a_finished_folder_is_not_written_again(corpus, whole, tmp_path) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")}
    time.sleep(0.01)
    assert prepare_corpus.prepare(corpus, str(tmp_path)) is not None
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")} == before


def test_another_spec_is_refused(corpus, whole, tmp_path) -> None:
    prepare_corpus.prepare(corpus, str(tmp_path), part=(1, 2))
    other = dataclasses.replace(corpus, encoding=clip_encoding.Jpeg(short_side=16))
    with pytest.raises(errors.UserError, match="differs in encoding; choose another directory"):
        prepare_corpus.prepare(other, str(tmp_path))
    # How many may be bad decides on no byte.
    assert prepare_corpus.prepare(dataclasses.replace(corpus, max_rejected=0.5), str(tmp_path)) is not None
    assert files_of(tmp_path) == whole


def test_too_many_bad_clips_stop_the_run_and_shards_stay(corpus, tmp_path) -> None:
    strict = dataclasses.replace(corpus, max_rejected=0.0)
    with pytest.raises(errors.UserError, match=r"at most 0\.0% bad clips, got 1 of 14.*shards are kept"):
        prepare_corpus.prepare(strict, str(tmp_path))
    assert len(list(tmp_path.glob("shard-*.array_record"))) == 4
    assert not shards.finished(tmp_path)


def test_an_input_that_changes_underneath_is_noticed(corpus, raw, tmp_path) -> None:
    own = raw / "growing.csv"
    rows = (raw / "clips.csv").read_bytes()
    own.write_bytes(rows)
    growing = dataclasses.replace(corpus, source=dataclasses.replace(corpus.source, path=str(own)))

    def grow(done: int, total: int) -> None:
        if done == 0:
            own.write_bytes(rows + b"videos/000000.mp4,again,me\n")

    with pytest.raises(errors.UserError, match="the input changed while it was read"):
        prepare_corpus.prepare(growing, str(tmp_path), progress=grow)
    own.write_bytes(rows.replace(b"caption, 2", b"another, 2"))
    with pytest.raises(errors.UserError, match=r"parts/000000.json: .*the input has changed"):
        prepare_corpus.prepare(growing, str(tmp_path))


@dataclasses.dataclass(frozen=True)
class Touching:
    """An encoding beside which somebody else writes to the file."""

    def __call__(self, medium, limits):
        path = pathlib.Path(medium.path)
        path.write_bytes(path.read_bytes() + b"more")
        yield from SHORT(medium, limits)


def test_a_video_that_changes_while_it_is_read_stops_the_run(corpus, tmp_path) -> None:
    render.render(dataclasses.replace(WORLD, clips=1), tmp_path, workers=0)
    (tmp_path / "clips.csv").write_text("path,text\nvideos/000000.mp4,one two three\n")
    home = table.Table(str(tmp_path / "clips.csv"))
    with pytest.raises(media.Stop, match=r"000000\.mp4: changed while it was read"):
        prepare_corpus.prepare(
            dataclasses.replace(corpus, source=home, encoding=Touching()), str(tmp_path / "out")
        )


def test_a_second_run_of_one_part_is_refused(corpus, tmp_path) -> None:
    def again(done: int, total: int) -> None:
        with pytest.raises(errors.UserError, match="another run writes this part"):
            prepare_corpus.prepare(corpus, str(tmp_path))

    prepare_corpus.prepare(corpus, str(tmp_path), progress=again)


def test_nothing_but_faults_is_no_corpus(corpus, tmp_path) -> None:
    (tmp_path / "none.csv").write_text("path,text\nmissing.mp4,a caption\n")
    bad = dataclasses.replace(corpus, source=table.Table(str(tmp_path / "none.csv")), max_rejected=0.99)
    with pytest.raises(media.Stop, match="1 of 1"):
        prepare_corpus.prepare(bad, str(tmp_path / "out"))
