"""Whole runs on a source with bad clips: the ledger, the mixture in the log, exit codes."""

import contextlib
import io
import json
import pathlib
import subprocess

import cli
import pytest

from prismlab.core.events import event_log
from prismlab.data.loader import source
from prismlab.data.records import record, shards
from prismlab.data.world import world
from prismlab.experiments import main
from prismlab.experiments.run import feed

RENDERED = source.Rendered(world.World(clips=16, resolution=16, frames=2), workers=0)


@pytest.fixture(scope="module")
def bad_shards(tmp_path_factory) -> pathlib.Path:
    """Return shards of 16 clips, of which one does not decode and one is too short."""
    cache = tmp_path_factory.mktemp("bad")
    whole = RENDERED.open(cache)
    records = [whole[index] for index in range(16)]
    records[3] = record.Record("garbled", b"no video", "a garbled clip")
    records[7] = record.Record("short", records[7].video, "a short clip", end=0.01)
    shards.write_shards(records, cache / "packed")
    return cache / "packed"


def call(
    place: pathlib.Path, workdir: pathlib.Path, *bindings: str, lines: str = "", only: str = cli.ONE_STAGE
) -> subprocess.CompletedProcess:
    text = pathlib.Path(cli.QUICK).read_text(encoding="utf-8")
    if lines:
        text = text.replace("loader.Line.sources = {'clean': %SOURCE}\n", "")
        text = text.replace(
            "from prismlab.data.loader import loader",
            "from prismlab.data.loader import loader\nfrom prismlab.data.loader import mixture",
        )
    start, end = text.index("SOURCE = "), text.index("TOKENIZER = ")
    file = workdir.parent / "mine.gin"
    file.write_text(
        text[:start] + f"SOURCE = @source.Shards()\nsource.Shards.path = '{place}'\n" + text[end:] + lines
    )
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main.main(["train", str(file), only, *bindings, "--workdir", str(workdir)])
    return subprocess.CompletedProcess((), code, out.getvalue(), err.getvalue())


def test_bad_clips_are_named_in_the_ledger_and_counted_in_the_log(bad_shards, tmp_path):
    done = call(bad_shards, tmp_path / "w", "loader.Line.max_bad_share=0.2")
    assert done.returncode == 0, done.stderr
    (stage,) = (tmp_path / "w" / "stages").iterdir()
    rows = [json.loads(line) for line in (stage / feed.LEDGER).read_text().splitlines()]
    assert sorted((row["source"], row["clip"]) for row in rows) == [("clean", 3), ("clean", 7)]
    assert "expected a video file" in next(row["reason"] for row in rows if row["clip"] == 3)
    assert "asks for 2" in next(row["reason"] for row in rows if row["clip"] == 7)
    last = [each for each in event_log.read(stage / "events.jsonl") if each["kind"] == "mixture"][-1]
    # Four batches of four: every clip once, so the ledger is complete after the last step.
    assert {name: last[name] for name in last if "/" in name} == {
        "declared/clean": 4.0, "batches/clean": 4.0, "repeats/clean": 1.0, "bad/clean": 2.0,
    }  # fmt: skip


def test_too_many_bad_clips_end_the_run_with_one_line(bad_shards, tmp_path):
    done = call(bad_shards, tmp_path / "w", "loader.Line.max_bad_share=0.1")
    cli.one_fault(done, "source 'clean'", "2 of 16 clips are bad", "allows 1", feed.LEDGER)


MIXED = """
loader.Line.sources = {'clean': %SOURCE, 'still': %SOURCE}
loader.Line.frames_of = {'still': 1}
loader.Line.phases = (@last/mixture.Phase(),)
last/mixture.Phase.start = 4
last/mixture.Phase.weights = {'clean': 1.0}
loader.Line.unique = ('clips',)
"""


@pytest.mark.slow
def test_sources_of_two_lengths_train_by_turns_and_the_last_steps_on_one(tmp_path):
    whole = RENDERED.open(cli.CACHE)
    done = call(whole.directory, tmp_path / "w", "STEPS=6", lines=MIXED)
    assert done.returncode == 0, done.stderr
    assert "step 2: source 'still' has 1 frames; a step for it is compiled now" in done.stdout
    (stage,) = (tmp_path / "w" / "stages").iterdir()
    last = [each for each in event_log.read(stage / "events.jsonl") if each["kind"] == "mixture"][-1]
    assert (last["batches/clean"], last["batches/still"]) == (4.0, 2.0)
    assert (last["declared/clean"], last["declared/still"]) == (4.0, 2.0)


def test_a_length_that_an_objective_cannot_take_is_told_before_the_start(tmp_path):
    whole = RENDERED.open(cli.CACHE)
    # Masked modelling rebuilds a fixed number of tokens, so that images have no place in stage 2.
    done = call(whole.directory, tmp_path / "w", "STEPS=6", lines=MIXED, only="recipe.Experiment.seed=0")
    cli.one_fault(done, "stage 'stage2'", "source 'still' has 1 frames", "drop it from this stage")
