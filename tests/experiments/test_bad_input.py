"""Mistakes a user makes: exit code 2, one clear line each, no traceback, and nothing lost."""

import contextlib
import io
import os
import pathlib
import shutil
import subprocess

import cli
import pytest

from prismlab.data.loader import source
from prismlab.data.world import world
from prismlab.experiments import main

RENDERED = source.Rendered(world.World(clips=16, resolution=16, frames=2), workers=0)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
    """Return a folder of videos and a directory of shards."""
    cache = tmp_path_factory.mktemp("rendered")
    RENDERED.open(cache)
    return next(cache.glob("world-*")), next(cache.glob("shards-*"))


@pytest.fixture
def own(rendered, tmp_path) -> pathlib.Path:
    """Return a user's own folder, to be damaged."""
    return pathlib.Path(shutil.copytree(rendered[0], tmp_path / "own"))


@pytest.fixture
def packed(rendered, tmp_path) -> pathlib.Path:
    """Return a user's own shards, to be damaged."""
    return pathlib.Path(shutil.copytree(rendered[1], tmp_path / "packed"))


def file_for(place: pathlib.Path, kind: str, *more: str) -> str:
    """Write an experiment of one stage that reads a folder or shards; return the file."""
    text = pathlib.Path(cli.QUICK).read_text(encoding="utf-8")
    start, end = text.index("SOURCE = "), text.index("TOKENIZER = ")
    text = text[:start] + f"SOURCE = @source.{kind}()\nsource.{kind}.path = '{place}'\n" + text[end:]
    path = place.parent / "mine.gin"
    path.write_text("\n".join([text, *more]))
    return str(path)


def call(file: str, workdir: pathlib.Path, *bindings: str) -> subprocess.CompletedProcess:
    """Run `prismlab train` in this process, which is quicker than in one of its own."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main.main(["train", file, *bindings, "--workdir", str(workdir)])
    return subprocess.CompletedProcess((), code, out.getvalue(), err.getvalue())


def first_video(folder: pathlib.Path) -> pathlib.Path:
    return sorted((folder / "videos").iterdir())[3]


def _cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "told"),
    [(pathlib.Path.unlink, "line 4"), (lambda path: path.write_bytes(b""), "line 4"), (_cut, "line 4")],
    ids=["missing", "empty", "truncated"],
)
def test_a_bad_video_in_a_users_folder(own, tmp_path, damage, told):
    damage(first_video(own))
    before = sorted(path.name for path in own.rglob("*"))
    cli.one_fault(call(file_for(own, "Folder"), tmp_path / "w"), told, "videos/000003.mp4")
    assert sorted(path.name for path in own.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"path": "videos/000000.mp4", "caption": ""}\n', "non-empty caption"),
        (b'{"path": "videos/000000.mp4", "caption": "  "}\n', "non-empty caption"),
        (b'{"path": "videos/000000.mp4", "caption": "caf\xe9"}\n', "UTF-8"),
        (b'{"path": "videos/000000.mp4", "caption": "\\ud800"}\n', "correct the line"),
        (b'{"path": "videos/000000.mp4"}\n', "non-empty caption"),
        (b'{"path": "videos/000000.mp4", "capt\n', "JSON"),
        (b'{"path": "../../secret.mp4", "caption": "a"}\n', "inside the folder"),
    ],
    ids=["empty", "blank", "latin", "surrogate", "none", "torn", "outside"],
)
def test_a_bad_line_of_captions(own, tmp_path, line, told):
    rows = (own / "captions.jsonl").read_bytes().splitlines(keepends=True)
    (own / "captions.jsonl").write_bytes(b"".join([line, *rows[1:]]))
    cli.one_fault(call(file_for(own, "Folder"), tmp_path / "w"), "captions.jsonl, line 1", told)


def test_a_truncated_shard(packed, tmp_path):
    (shard,) = packed.glob("shard-*")
    _cut(shard)
    cli.one_fault(call(file_for(packed, "Shards"), tmp_path / "w"), shard.name, "bytes")


def test_a_shard_with_a_changed_byte(packed, tmp_path):
    (shard,) = packed.glob("shard-*")
    data = bytearray(shard.read_bytes())
    for place in range(len(data) // 3, len(data) - len(data) // 4, 97):
        data[place] ^= 255
    shard.write_bytes(bytes(data))
    cli.one_fault(call(file_for(packed, "Shards"), tmp_path / "w"), shard.name)


def test_a_clip_shorter_than_asked(own, tmp_path):
    told = call(file_for(own, "Folder"), tmp_path / "w", "FRAMES=3")
    cli.one_fault(told, "clip 'videos/", "of source 'clean'", "has 2 frames", "asks for 3")


def test_a_frame_size_that_the_patch_does_not_divide(tmp_path):
    cli.one_fault(call(cli.TINY, tmp_path / "w", "video_encoder.FactorizedVideoEncoder.patch=5"), "16", "5")


def test_a_batch_that_the_devices_do_not_divide(tmp_path):
    # conftest.py gives this process two devices.
    done = call(cli.QUICK, tmp_path / "w", "recipe.Stage.batch_size=3")
    cli.one_fault(done, "batch_size=3", "2 devices", "use 2 or 4")
    # The mistake is mended in place: nothing was saved, so the directory is still free.
    done = call(cli.QUICK, tmp_path / "w", "STEPS=0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("field", ["init_from", "teacher"])
def test_a_parent_that_is_not_there(field, tmp_path):
    done = call(cli.QUICK, tmp_path / "w", f"stage2/recipe.Stage.{field}='{tmp_path / 'none'}'")
    cli.one_fault(done, field, "neither an earlier stage")


@pytest.mark.parametrize("field", ["init_from", "teacher"])
def test_a_parent_that_is_half_written(field, whole, tmp_path):
    parent = shutil.copytree(next(whole.glob("stages/stage1-*")), tmp_path / "parent")
    newest = parent / "checkpoints/8/learner"
    for path in [path for path in newest.rglob("*") if path.is_file()]:
        path.unlink()
    done = call(cli.QUICK, tmp_path / "w", f"stage2/recipe.Stage.{field}='{parent}'")
    cli.one_fault(done, "checkpoints/8", "cannot be read")


@pytest.mark.slow  # tests/experiments/run/test_engine.py has the message; a teacher may have its own sizes
def test_a_parent_of_another_shape(whole, tmp_path):
    parent = next(whole.glob("stages/stage1-*"))
    wider = ["quick_towers.Patches.dim=16", "quick_towers.Words.dim=16"]
    bindings = [f"stage2/recipe.Stage.init_from='{parent}'", *wider, "STEPS=0"]
    # Stage 1 takes no step here, so that the message comes before anything is compiled.
    cli.one_fault(call(cli.QUICK, tmp_path / "w", *bindings), "other shapes", "towers/video")


def test_a_work_directory_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("mine")
    cli.one_fault(call(cli.QUICK, tmp_path / "file"), "is a file")
    cli.one_fault(call(cli.QUICK, tmp_path / "file" / "below"), "file")
    assert (tmp_path / "file").read_text() == "mine"


@contextlib.contextmanager
def small_disk(place: pathlib.Path, size: str):
    """Mount a disk of a given size; skip where that is not allowed."""
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place]).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow  # tests/core/train/checkpoints/test_checkpoint.py has the message of a failed save
@pytest.mark.parametrize(
    "room",
    [pytest.param(40_000, id="first save"), pytest.param(700_000, id="later save")],
)
def test_a_full_disk_while_saving(whole, tmp_path, room):
    disk = tmp_path / "disk"
    with small_disk(disk, "24m"):
        (disk / "w").mkdir()
        filler = disk / "filler"
        free = shutil.disk_usage(disk).free
        filler.write_bytes(b"\0" * (free - room))
        command = ("train", cli.QUICK, *cli.LONG, "--workdir", disk / "w")
        done = cli.run(*command)
        cli.one_fault(done, "space")
        filler.unlink()
        done = cli.run(*command)
        assert done.returncode == 0, done.stderr
        assert cli.digest(disk / "w") == cli.digest(whole)


def test_a_full_disk_while_rendering(tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "64k"):
        done = cli.train(
            tmp_path / "w", "world.World.clips=64", env=cli.environment(PRISMLAB_CACHE=str(disk))
        )
        cli.one_fault(done, "full")
